/* The business codes of a prediction that this folder gives, from the contract's list. 5004 is not among
 * them: to clients it means that a synchronous call is over while the job goes on. */
#pragma once

#define KX_CODE_PARAMETER 1401 /* invalid parameter */
#define KX_CODE_MEDIA     1402 /* an input picture could not be fetched or read */
#define KX_CODE_EXECUTION 1403 /* the job could not be computed */
#define KX_CODE_TASK      1405 /* the job ended for another reason, such as its deadline */
#define KX_CODE_INTERNAL  5000
