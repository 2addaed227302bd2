/* The profiler: which calls share a row, how scopes nest, and what happens when there is no room left. */
#include "test_support.h"

#include "engine/tensor/profiler.h"

#include <stdbool.h>

static kx_profiler *open_profiler(bool keeps_events)
{
    kx_error err = {0};
    kx_profiler *profiler = NULL;
    assert_ok(kx_profiler_open(&profiler, keeps_events, &err));
    kx_profiler_stage(profiler, "denoise");
    return profiler;
}

static kx_profiler_op linear(int64_t rows, const char *detail)
{
    return (kx_profiler_op){.kind = "linear",
                            .type = "f32",
                            .detail = detail,
                            .rank = 3,
                            .shape = {rows, 64, 128},
                            .flops = 1000,
                            .bytes = 10};
}

static void call(kx_profiler *profiler, kx_profiler_op op)
{
    kx_profiler_begin(profiler, &op);
    kx_profiler_end(profiler);
}

static void calls_share_a_row_when_all_of_their_name_is_equal(void **state)
{
    (void)state;
    kx_profiler *profiler = open_profiler(false);
    char copied[] = "gelu";
    call(profiler, linear(8, NULL));
    call(profiler, linear(8, "gelu"));
    call(profiler, linear(8, copied));
    call(profiler, linear(9, NULL));
    kx_profiler_stage(profiler, "decode");
    call(profiler, linear(8, NULL));
    kx_profiler_op narrow = linear(8, NULL);
    narrow.type = "int8";
    call(profiler, narrow);
    call(profiler, linear(8, NULL));
    assert_int_equal(profiler->num_rows, 5);
    const uint64_t calls[] = {1, 2, 1, 2, 1};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(profiler->rows[i].calls, calls[i]);
        assert_int_equal(profiler->rows[i].flops, 1000 * calls[i]);
        assert_int_equal(profiler->rows[i].bytes, 10 * calls[i]);
    }
    assert_string_equal(profiler->rows[2].stage, "denoise");
    assert_string_equal(profiler->rows[3].stage, "decode");
    assert_int_equal(profiler->num_events, 0);
    kx_profiler_close(profiler);
}

static void a_name_tells_type_shape_and_what_is_fused(void **state)
{
    (void)state;
    char name[KX_PROFILER_NAME_BYTES];
    kx_profiler_op op = linear(8, NULL);
    kx_profiler_name(&op, name);
    assert_string_equal(name, "linear f32 8x64x128");
    op.detail = "gelu";
    kx_profiler_name(&op, name);
    assert_string_equal(name, "linear f32 8x64x128 gelu");
    op.weights = "bf16";
    kx_profiler_name(&op, name);
    assert_string_equal(name, "linear f32 8x64x128 gelu, bf16 weights");
    op.detail = NULL;
    kx_profiler_name(&op, name);
    assert_string_equal(name, "linear f32 8x64x128 bf16 weights");
}

static void events_lie_within_their_scopes(void **state)
{
    (void)state;
    kx_profiler *profiler = open_profiler(true);
    kx_profiler_enter(profiler, "step", 1);
    kx_profiler_enter(profiler, "double", 0);
    call(profiler, linear(8, NULL));
    kx_profiler_leave(profiler);
    call(profiler, linear(9, NULL));
    kx_profiler_leave(profiler);
    call(profiler, linear(8, NULL));
    assert_int_equal(profiler->num_events, 5);
    const int parents[] = {-1, 0, 1, 0, -1};
    for (size_t i = 0; i < 5; i++) {
        const kx_profiler_event *event = &profiler->events[i];
        assert_int_equal(event->parent, parents[i]);
        if (i > 0) assert_true(event->start_ns >= event[-1].start_ns);
        if (event->parent < 0) continue;
        const kx_profiler_event *scope = &profiler->events[event->parent];
        assert_true(event->start_ns >= scope->start_ns);
        assert_true(event->start_ns + event->duration_ns <= scope->start_ns + scope->duration_ns);
    }
    assert_string_equal(profiler->events[1].word, "double");
    assert_null(profiler->events[4].word);
    assert_int_equal(profiler->events[4].number, 0);
    kx_profiler_close(profiler);
}

static void what_has_no_room_is_counted_as_lost(void **state)
{
    (void)state;
    kx_profiler *profiler = open_profiler(true);
    for (int i = 0; i < KX_PROFILER_EVENTS_MAX; i++) call(profiler, linear(8, NULL));
    assert_int_equal(profiler->lost_events, 0);
    kx_profiler_enter(profiler, "step", 9);
    call(profiler, linear(8, NULL));
    kx_profiler_leave(profiler);
    assert_int_equal(profiler->lost_events, 2);
    assert_int_equal(profiler->num_events, KX_PROFILER_EVENTS_MAX);
    assert_int_equal(profiler->rows[0].calls, KX_PROFILER_EVENTS_MAX + 1);
    for (int64_t rows = 100; rows < 100 + KX_PROFILER_ROWS_MAX; rows++) call(profiler, linear(rows, NULL));
    assert_int_equal(profiler->num_rows, KX_PROFILER_ROWS_MAX);
    assert_int_equal(profiler->lost_calls, 1);
    kx_profiler_close(profiler);
}

static void scopes_may_be_deeper_than_is_kept(void **state)
{
    (void)state;
    kx_profiler *profiler = open_profiler(true);
    for (int i = 0; i < KX_PROFILER_DEPTH_MAX + 3; i++) kx_profiler_enter(profiler, "level", i);
    call(profiler, linear(8, NULL));
    for (int i = 0; i < KX_PROFILER_DEPTH_MAX + 3; i++) kx_profiler_leave(profiler);
    assert_int_equal(profiler->depth, 0);
    assert_int_equal(profiler->events[KX_PROFILER_DEPTH_MAX + 3].parent, -1);
    assert_int_equal(profiler->events[KX_PROFILER_DEPTH_MAX - 1].parent, KX_PROFILER_DEPTH_MAX - 2);
    kx_profiler_close(profiler);
}

static void no_profiler_is_accepted(void **state)
{
    (void)state;
    kx_profiler_stage(NULL, "text");
    kx_profiler_enter(NULL, "step", 1);
    call(NULL, linear(8, NULL));
    kx_profiler_leave(NULL);
    kx_profiler_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_share_a_row_when_all_of_their_name_is_equal),
        cmocka_unit_test(a_name_tells_type_shape_and_what_is_fused),
        cmocka_unit_test(events_lie_within_their_scopes),
        cmocka_unit_test(what_has_no_room_is_counted_as_lost),
        cmocka_unit_test(scopes_may_be_deeper_than_is_kept),
        cmocka_unit_test(no_profiler_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
