/* What is done with a model besides editing. */
#include "engine/formats/verify.h"
#include "engine/pipeline/model.h"

const char *kx_version(void)
{
    return KX_VERSION;
}

kx_status kx_model_verify(kx_model *model, const kx_callbacks *callbacks, kx_error *caller_err)
{
    kx_error own_err = {0};
    kx_callbacks none = {0};
    return kx_verify_model(model->files, callbacks != NULL ? callbacks : &none,
                           caller_err != NULL ? caller_err : &own_err);
}
