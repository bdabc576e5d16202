/* The way out of the engine: a call that has run out of time or memory leaves it at once, from any depth.
 * `src/leave.rs` says when a jump is allowed. */
#include <setjmp.h>

/* Runs `body(argument)`. While it runs, `*slot` names the place to jump to.
 * Returns 0 when the body has returned, 1 when it was left. */
int vestibule_isolate_enter(void **slot, void (*body)(void *), void *argument)
{
    sigjmp_buf here;
    void *outer = *slot;

    if (sigsetjmp(here, 0) != 0) {
        /* None of the three arguments nor `outer` has changed since, so all are still defined. */
        *slot = outer;
        return 1;
    }
    *slot = &here;
    body(argument);
    *slot = outer;
    return 0;
}

void vestibule_isolate_leave(void *place)
{
    siglongjmp(*(sigjmp_buf *)place, 1);
}
