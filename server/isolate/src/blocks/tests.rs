//! The allocator against a model: random requests, every content checked, every header walked.

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::{FUNCTIONS, HEADER_BYTES, Head, UNIT, block_of, js_free, js_malloc, js_realloc};
use crate::arena::{Arena, commit};
use crate::bytecode::Bytecode;
use crate::isolate::ModuleSource;
use crate::shared::Shared;

struct NoModules;

impl ModuleSource for NoModules {
    fn bytecode(&self, _: &str) -> Option<Arc<Bytecode>> {
        None
    }
}

/// Content of ours: where it is, how long, and the byte that fills it.
struct Held {
    content: *mut u8,
    bytes: usize,
    fill: u8,
}

impl Held {
    fn fill(&mut self, fill: u8) {
        self.fill = fill;
        // SAFETY: the content is ours and this long.
        unsafe { self.content.write_bytes(fill, self.bytes) };
    }

    fn check(&self, bytes: usize) {
        // SAFETY: the content is ours and at least this long.
        let content = unsafe { std::slice::from_raw_parts(self.content, bytes) };
        assert!(content.iter().all(|byte| *byte == self.fill));
    }
}

/// Walks all blocks: each knows the one before, no two free ones meet, and what is in use adds up.
fn walk(head: *const Head, first: usize) {
    // SAFETY: the head is in place and only this thread uses it.
    unsafe {
        let (mut at, mut before, mut live, mut was_free) = (first, 0, 0, false);
        while at < (*head).top {
            let block = &*(at as *const super::Block);
            assert_eq!(block.before, before);
            assert_eq!(block.size() % UNIT, 0);
            assert!(!was_free || block.is_in_use(), "two free neighbours");
            was_free = !block.is_in_use();
            live += if was_free { 0 } else { block.size() };
            before = block.size();
            at += before;
        }
        assert_eq!(at, (*head).top);
        assert_eq!((before, live), ((*head).last, (*head).live));
        assert!(!was_free, "a free block at the top");
    }
}

#[test]
fn random_requests_keep_their_content_and_the_blocks_in_order() {
    let arena = Arena::reserve(256 << 20).unwrap();
    let shared = Shared::new(Arc::new(NoModules));
    // SAFETY: the arena is new; the box and the arena outlive every use of the head in this test.
    let head = unsafe {
        let end = commit(arena.start(), arena.start() + 1, arena.end()).unwrap();
        shared.committed_end.set(end);
        Head::place(
            arena.base().as_ptr(),
            arena.end(),
            &raw const shared,
            16 << 20,
        )
    };
    // SAFETY: the head is in place.
    let first = unsafe { (*head).top };
    let mut random = SmallRng::seed_from_u64(7);
    let mut held: Vec<Held> = Vec::new();
    for step in 0..40_000_u32 {
        let bytes = match random.random_range(0..10) {
            0 => random.random_range(1..200_000),
            1..4 => random.random_range(1..8_000),
            _ => random.random_range(1..600),
        };
        let position = random.random_range(0..held.len().max(1));
        // SAFETY: contents come from this head, and are given up when they are freed.
        unsafe {
            match random.random_range(0..5) {
                0 | 1 if held.len() < 400 => {
                    let content = js_malloc(head.cast(), bytes as _).cast::<u8>();
                    if !content.is_null() {
                        assert_eq!(content as usize % UNIT, 0);
                        let mut new = Held {
                            content,
                            bytes,
                            fill: 0,
                        };
                        new.fill(step as u8);
                        held.push(new);
                    }
                }
                2 if !held.is_empty() => {
                    let old = &mut held[position];
                    let content = js_realloc(head.cast(), old.content.cast(), bytes as _);
                    if !content.is_null() {
                        old.content = content.cast();
                        old.check(bytes.min(old.bytes));
                        old.bytes = bytes;
                        old.fill(step as u8);
                    }
                }
                _ if !held.is_empty() => {
                    let old = held.swap_remove(position);
                    old.check(old.bytes);
                    js_free(head.cast(), old.content.cast());
                }
                _ => {}
            }
        }
        if step % 64 == 0 {
            walk(head, first);
        }
    }
    for old in held {
        old.check(old.bytes);
        // SAFETY: the content is given up.
        unsafe { js_free(head.cast(), old.content.cast()) };
    }
    walk(head, first);
    // SAFETY: the head is in place.
    unsafe { assert_eq!(((*head).top, (*head).live), (first, 0)) };
}

#[test]
fn a_limit_dooms_and_zeroed_memory_is_zero() {
    let arena = Arena::reserve(16 << 20).unwrap();
    let shared = Shared::new(Arc::new(NoModules));
    // SAFETY: as above.
    unsafe {
        let end = commit(arena.start(), arena.start() + 1, arena.end()).unwrap();
        shared.committed_end.set(end);
        let head = Head::place(
            arena.base().as_ptr(),
            arena.end(),
            &raw const shared,
            1 << 20,
        );
        let calloc = FUNCTIONS.js_calloc.unwrap();
        for _ in 0..3 {
            let content = calloc(head.cast(), 100, 1000).cast::<u8>();
            assert!(
                std::slice::from_raw_parts(content, 100_000)
                    .iter()
                    .all(|byte| *byte == 0)
            );
            content.write_bytes(1, 100_000);
            assert!((*block_of(content)).size() >= 100_000 + HEADER_BYTES);
            js_free(head.cast(), content.cast());
        }
        assert!(!shared.is_doomed());
        assert!(js_malloc(head.cast(), 2 << 20).is_null());
        assert!(shared.is_doomed());
        assert!(calloc(head.cast(), u64::MAX as _, 2).is_null());
    }
}
