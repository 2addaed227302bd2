/* A tile for each number of rows. KX_EACH_ROWS_6(rows, TILE) runs TILE(1) where rows is 1, and so on to
 * TILE(6): the number is a literal, so an inlined tile keeps the sums of all its rows in registers. rows is
 * at most the number in the name. */
#pragma once

#define KX_ROWS_CASE(R, TILE)                                                                                \
    case R:                                                                                                  \
        TILE(R);                                                                                             \
        break;
#define KX_ROWS_3(TILE) KX_ROWS_CASE(1, TILE) KX_ROWS_CASE(2, TILE) KX_ROWS_CASE(3, TILE)
#define KX_ROWS_6(TILE) KX_ROWS_3(TILE) KX_ROWS_CASE(4, TILE) KX_ROWS_CASE(5, TILE) KX_ROWS_CASE(6, TILE)
#define KX_ROWS_8(TILE) KX_ROWS_6(TILE) KX_ROWS_CASE(7, TILE) KX_ROWS_CASE(8, TILE)
#define KX_ROWS_12(TILE)                                                                                     \
    KX_ROWS_8(TILE)                                                                                          \
    KX_ROWS_CASE(9, TILE) KX_ROWS_CASE(10, TILE) KX_ROWS_CASE(11, TILE) KX_ROWS_CASE(12, TILE)

#define KX_EACH_ROWS_3(rows, TILE)                                                                           \
    switch (rows) {                                                                                          \
        KX_ROWS_3(TILE)                                                                                      \
    }
#define KX_EACH_ROWS_6(rows, TILE)                                                                           \
    switch (rows) {                                                                                          \
        KX_ROWS_6(TILE)                                                                                      \
    }
#define KX_EACH_ROWS_8(rows, TILE)                                                                           \
    switch (rows) {                                                                                          \
        KX_ROWS_8(TILE)                                                                                      \
    }
#define KX_EACH_ROWS_12(rows, TILE)                                                                          \
    switch (rows) {                                                                                          \
        KX_ROWS_12(TILE)                                                                                     \
    }
