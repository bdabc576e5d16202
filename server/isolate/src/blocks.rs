//! The allocator of one arena: blocks with a header, free ones in bins by size, neighbours joined.
//!
//! The engine serves small requests from slabs of its own, so this sees slabs of 4 KB and larger things. All state is in [`Head`], at the
//! arena's start, and is restored with it. A seal empties the bins: what a call allocates then comes from beyond the image, on pages that
//! a restore need not touch.

use std::ffi::c_void;
use std::ptr::null_mut;

use rquickjs_sys as qjs;

use crate::arena::commit;
use crate::leave::leave;
use crate::shared::{Doom, Shared};

/// A block's header. Sizes count the header; addresses and sizes are multiples of 16.
#[repr(C)]
struct Block {
    /// The size, with the lowest bit set while the block is in use.
    size_and_use: usize,
    /// The size of the block before it, 0 for the first.
    before: usize,
}

/// A free block: its neighbours in the bin are where the content would be.
#[repr(C)]
struct FreeBlock {
    block: Block,
    next: *mut FreeBlock,
    previous: *mut FreeBlock,
}

const HEADER_BYTES: usize = size_of::<Block>();
const BLOCK_BYTES_MIN: usize = size_of::<FreeBlock>();
const UNIT: usize = 16;
const IN_USE: usize = 1;

/// Sizes below this have a bin each.
const SMALL_UNITS: usize = 64;
/// Above, each doubling has this many bins.
const BINS_A_DOUBLING: usize = 8;
/// Enough for blocks of 2^38 bytes.
const BINS: usize = SMALL_UNITS + BINS_A_DOUBLING * 28;
const WORDS: usize = BINS.div_ceil(64);
/// How many blocks of one bin are looked at before a larger one is split.
const LOOKS_MAX: usize = 8;
/// A block that shrinks keeps less than this.
const SHRINK_BYTES_MIN: usize = 512;

/// The allocator's state.
#[repr(C)]
pub(crate) struct Head {
    shared: *const Shared,
    /// Where the last block ends.
    top: usize,
    /// The size of the last block.
    last: usize,
    reserved_end: usize,
    /// Bytes in blocks that are in use.
    live: usize,
    live_max: usize,
    /// The highest top since the seal.
    peak: usize,
    /// How many blocks were ever handed out.
    handed_out: usize,
    occupied: [u64; WORDS],
    bins: [*mut FreeBlock; BINS],
}

/// The functions that the engine calls. Their opaque pointer is the [`Head`].
pub(crate) static FUNCTIONS: qjs::JSMallocFunctions = qjs::JSMallocFunctions {
    js_calloc: Some(js_calloc),
    js_malloc: Some(js_malloc),
    js_free: Some(js_free),
    js_realloc: Some(js_realloc),
    js_malloc_usable_size: Some(js_malloc_usable_size),
};

unsafe extern "C" fn js_calloc(
    opaque: *mut c_void,
    count: qjs::size_t,
    size: qjs::size_t,
) -> *mut c_void {
    let bytes = (count as usize).checked_mul(size as usize);
    // SAFETY: the engine passes the head that it was given, and this frame owns nothing.
    let content = unsafe { allocate(opaque.cast(), bytes.unwrap_or(usize::MAX)) };
    if !content.is_null() {
        // SAFETY: the block is new and has at least this many bytes.
        unsafe { content.write_bytes(0, bytes.unwrap_or(0)) };
    }
    content.cast()
}

unsafe extern "C" fn js_malloc(opaque: *mut c_void, size: qjs::size_t) -> *mut c_void {
    // SAFETY: the engine passes the head that it was given, and this frame owns nothing.
    unsafe { allocate(opaque.cast(), size as usize) }.cast()
}

unsafe extern "C" fn js_free(opaque: *mut c_void, content: *mut c_void) {
    if !content.is_null() {
        // SAFETY: the engine passes its head and a block that it got from us and gives up.
        unsafe { release(opaque.cast(), block_of(content.cast())) }
    }
}

unsafe extern "C" fn js_realloc(
    opaque: *mut c_void,
    content: *mut c_void,
    size: qjs::size_t,
) -> *mut c_void {
    // SAFETY: the engine passes its head and a block that it got from us, and this frame owns nothing.
    unsafe {
        if content.is_null() {
            return js_malloc(opaque, size);
        }
        resize(opaque.cast(), content.cast(), size as usize).cast()
    }
}

unsafe extern "C" fn js_malloc_usable_size(content: *const c_void) -> qjs::size_t {
    // SAFETY: the engine asks of a block that it got from us.
    unsafe { content_bytes(content.cast()) as qjs::size_t }
}

/// The number of bytes of a block's content.
///
/// # Safety
///
/// The content is that of a block of this allocator.
pub(crate) unsafe fn content_bytes(content: *const u8) -> usize {
    // SAFETY: what the caller promises.
    unsafe { (*block_of(content.cast_mut())).size() - HEADER_BYTES }
}

impl Block {
    fn size(&self) -> usize {
        self.size_and_use & !IN_USE
    }

    fn is_in_use(&self) -> bool {
        self.size_and_use & IN_USE != 0
    }
}

unsafe fn block_of(content: *mut u8) -> *mut Block {
    // SAFETY: the caller has a content pointer of ours, which follows its header.
    unsafe { content.sub(HEADER_BYTES).cast() }
}

/// The block's size for this many bytes of content. `None` if there is no such size.
fn block_bytes(content: usize) -> Option<usize> {
    let bytes = content
        .checked_add(HEADER_BYTES)?
        .checked_next_multiple_of(UNIT)?;
    (bytes < 1 << 38).then_some(bytes.max(BLOCK_BYTES_MIN))
}

/// The bin for free blocks of this size. Every block of a later bin is larger.
fn bin_of(bytes: usize) -> usize {
    let units = bytes / UNIT;
    if units < SMALL_UNITS {
        return units;
    }
    let doubling = units.ilog2() as usize;
    let within = (units >> (doubling - 3)) & (BINS_A_DOUBLING - 1);
    SMALL_UNITS + (doubling - 6) * BINS_A_DOUBLING + within
}

impl Head {
    /// Puts an empty allocator at the start of an arena.
    ///
    /// # Safety
    ///
    /// `base` is the start of an arena of which `Shared::committed_end` tells how much is usable: at least a page. The box outlives it.
    pub(crate) unsafe fn place(
        base: *mut u8,
        reserved_end: usize,
        shared: *const Shared,
        live_max: usize,
    ) -> *mut Head {
        let head = base.cast::<Head>();
        let top = (base as usize + size_of::<Head>()).next_multiple_of(UNIT);
        // SAFETY: the arena is usable for this long, new, and not shared. Zeros are a valid head.
        unsafe {
            head.write_bytes(0, 1);
            (*head).shared = shared;
            (*head).top = top;
            (*head).peak = top;
            (*head).reserved_end = reserved_end;
            (*head).live_max = live_max;
        }
        head
    }

    pub(crate) fn top(&self) -> usize {
        self.top
    }

    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    pub(crate) fn live(&self) -> usize {
        self.live
    }

    pub(crate) fn handed_out(&self) -> usize {
        self.handed_out
    }

    /// Ends the image at a page's end, so that everything allocated from now on lies beyond it. Free blocks stay unused for good.
    /// False if the arena has no room for that.
    ///
    /// # Safety
    ///
    /// `head` is the head of an arena, and the engine is not running.
    pub(crate) unsafe fn seal(head: *mut Head, page_bytes: usize, live_bytes_max: usize) -> bool {
        // SAFETY: the head is in place, and all blocks it names are well formed, because only this file writes them.
        unsafe {
            for bin in 0..BINS {
                let mut free = (*head).bins[bin];
                while !free.is_null() {
                    (*free).block.size_and_use |= IN_USE;
                    free = (*free).next;
                }
                (*head).bins[bin] = null_mut();
            }
            (*head).occupied = [0; WORDS];
            let top = (*head).top;
            let gap = top.next_multiple_of(page_bytes) - top;
            if gap != 0 {
                if !reach(head, top + gap) {
                    return false;
                }
                (top as *mut Block).write(Block {
                    size_and_use: gap | IN_USE,
                    before: (*head).last,
                });
                (*head).top = top + gap;
                (*head).last = gap;
            }
            (*head).peak = (*head).top;
            (*head).live_max = (*head).live.saturating_add(live_bytes_max);
        }
        true
    }
}

/// Ends the call if a jump is allowed; otherwise dooms it and returns null.
///
/// # Safety
///
/// As for `leave`: no frame of ours up to the engine owns anything.
unsafe fn out_of_memory(head: *mut Head) -> *mut u8 {
    // SAFETY: the box outlives the arena.
    let shared = unsafe { &*(*head).shared };
    shared.doom(Doom::OutOfMemory);
    if shared.is_armed.get() {
        // SAFETY: the box is armed; the frames below are `allocate`, `resize` and the engine's callbacks, which own nothing.
        unsafe { leave(shared) }
    }
    null_mut()
}

/// Makes the memory before `end` usable.
unsafe fn reach(head: *mut Head, end: usize) -> bool {
    // SAFETY: the head names its box, which outlives the arena; `end` is checked to lie in the arena.
    unsafe {
        let shared = &*(*head).shared;
        if end <= shared.committed_end.get() {
            return true;
        }
        if end > (*head).reserved_end {
            return false;
        }
        match commit(shared.committed_end.get(), end, (*head).reserved_end) {
            Some(committed_end) => shared.committed_end.set(committed_end),
            None => return false,
        }
    }
    true
}

unsafe fn allocate(head: *mut Head, content: usize) -> *mut u8 {
    // SAFETY: the head is in place, and only this file writes blocks and bins.
    unsafe {
        let Some(bytes) = block_bytes(content) else {
            return out_of_memory(head);
        };
        if bytes > (*head).live_max.saturating_sub((*head).live) {
            return out_of_memory(head);
        }
        let mut block = take_free(head, bytes);
        if block.is_null() {
            block = take_top(head, bytes);
        }
        if block.is_null() {
            return out_of_memory(head);
        }
        (*head).live += (*block).size();
        (*head).handed_out += 1;
        block.cast::<u8>().add(HEADER_BYTES)
    }
}

/// A block from the bins, marked in use.
unsafe fn take_free(head: *mut Head, bytes: usize) -> *mut Block {
    // SAFETY: bins hold well-formed free blocks of this arena.
    unsafe {
        let own = bin_of(bytes);
        let mut free = (*head).bins[own];
        let mut looks = 0;
        while !free.is_null() && looks < LOOKS_MAX {
            if (*free).block.size() >= bytes {
                break;
            }
            free = (*free).next;
            looks += 1;
        }
        if free.is_null() || looks == LOOKS_MAX {
            free = match occupied_after(&(*head).occupied, own) {
                Some(bin) => (*head).bins[bin],
                None => return null_mut(),
            };
        }
        unlink(head, free);
        let block = free.cast::<Block>();
        (*block).size_and_use |= IN_USE;
        split(head, block, bytes, BLOCK_BYTES_MIN);
        block
    }
}

/// The first bin after this one that holds a block.
fn occupied_after(occupied: &[u64; WORDS], bin: usize) -> Option<usize> {
    let first = bin + 1;
    let mut word = first / 64;
    if word >= WORDS {
        return None;
    }
    let mut bits = occupied[word] & (u64::MAX << (first % 64));
    while bits == 0 {
        word += 1;
        if word == WORDS {
            return None;
        }
        bits = occupied[word];
    }
    Some(word * 64 + bits.trailing_zeros() as usize)
}

/// A new block at the top, marked in use.
unsafe fn take_top(head: *mut Head, bytes: usize) -> *mut Block {
    // SAFETY: beyond the top there is no block, and `reach` makes the memory usable.
    unsafe {
        let top = (*head).top;
        if !reach(head, top.saturating_add(bytes)) {
            return null_mut();
        }
        let block = top as *mut Block;
        block.write(Block {
            size_and_use: bytes | IN_USE,
            before: (*head).last,
        });
        (*head).last = bytes;
        set_top(head, top + bytes);
        block
    }
}

unsafe fn set_top(head: *mut Head, top: usize) {
    // SAFETY: the head is in place.
    unsafe {
        (*head).top = top;
        (*head).peak = (*head).peak.max(top);
    }
}

/// Cuts a block in use down to this size if at least `rest_min` bytes remain, and frees the rest.
unsafe fn split(head: *mut Head, block: *mut Block, bytes: usize, rest_min: usize) {
    // SAFETY: the rest lies within the block, which is in use and so in no bin.
    unsafe {
        let rest_bytes = (*block).size() - bytes;
        if rest_bytes < rest_min {
            return;
        }
        (*block).size_and_use = bytes | IN_USE;
        let rest = block.cast::<u8>().add(bytes).cast::<Block>();
        rest.write(Block {
            size_and_use: rest_bytes | IN_USE,
            before: bytes,
        });
        set_before(head, rest);
        join_and_bin(head, rest);
    }
}

/// Tells the block after this one how large this one is.
unsafe fn set_before(head: *mut Head, block: *mut Block) {
    // SAFETY: a block ends at the next one or at the top.
    unsafe {
        let size = (*block).size();
        let next = block as usize + size;
        if next == (*head).top {
            (*head).last = size;
        } else {
            (*(next as *mut Block)).before = size;
        }
    }
}

unsafe fn release(head: *mut Head, block: *mut Block) {
    // SAFETY: the caller gives up a block of this arena that is in use.
    unsafe {
        debug_assert!((*block).is_in_use());
        (*head).live -= (*block).size();
        join_and_bin(head, block);
    }
}

/// Frees a block: joins it with free neighbours, then lowers the top or puts it into its bin.
unsafe fn join_and_bin(head: *mut Head, mut block: *mut Block) {
    // SAFETY: the block before ends where this one starts, the one after starts where it ends, and free blocks are in their bins.
    unsafe {
        let mut size = (*block).size();
        let after = block as usize + size;
        if after != (*head).top && !(*(after as *mut Block)).is_in_use() {
            unlink(head, after as *mut FreeBlock);
            size += (*(after as *mut Block)).size();
        }
        if (*block).before != 0 {
            let before = (block as usize - (*block).before) as *mut Block;
            if !(*before).is_in_use() {
                unlink(head, before.cast());
                size += (*before).size();
                block = before;
            }
        }
        (*block).size_and_use = size;
        if block as usize + size == (*head).top {
            (*head).top = block as usize;
            (*head).last = (*block).before;
        } else {
            set_before(head, block);
            link(head, block.cast());
        }
    }
}

unsafe fn link(head: *mut Head, free: *mut FreeBlock) {
    // SAFETY: the block is free, in no bin, and large enough for its links.
    unsafe {
        let bin = bin_of((*free).block.size());
        let first = (*head).bins[bin];
        (*free).next = first;
        (*free).previous = null_mut();
        if !first.is_null() {
            (*first).previous = free;
        }
        (*head).bins[bin] = free;
        (*head).occupied[bin / 64] |= 1 << (bin % 64);
    }
}

unsafe fn unlink(head: *mut Head, free: *mut FreeBlock) {
    // SAFETY: the block is in the bin for its size.
    unsafe {
        let (next, previous) = ((*free).next, (*free).previous);
        if !next.is_null() {
            (*next).previous = previous;
        }
        if !previous.is_null() {
            (*previous).next = next;
            return;
        }
        let bin = bin_of((*free).block.size());
        (*head).bins[bin] = next;
        if next.is_null() {
            (*head).occupied[bin / 64] &= !(1 << (bin % 64));
        }
    }
}

unsafe fn resize(head: *mut Head, content: *mut u8, new_content: usize) -> *mut u8 {
    // SAFETY: the content is that of a block in use of this arena.
    unsafe {
        let block = block_of(content);
        let old_bytes = (*block).size();
        let Some(bytes) = block_bytes(new_content) else {
            return out_of_memory(head);
        };
        if bytes <= old_bytes {
            split(head, block, bytes, SHRINK_BYTES_MIN);
            (*head).live -= old_bytes - (*block).size();
            return content;
        }
        if bytes - old_bytes > (*head).live_max.saturating_sub((*head).live) {
            return out_of_memory(head);
        }
        if grow(head, block, bytes) {
            (*head).live += (*block).size() - old_bytes;
            return content;
        }
        let new = allocate(head, new_content);
        if !new.is_null() {
            new.copy_from_nonoverlapping(content, old_bytes - HEADER_BYTES);
            release(head, block);
        }
        new
    }
}

/// Makes a block larger where it is, into a free neighbour or the top.
unsafe fn grow(head: *mut Head, block: *mut Block, bytes: usize) -> bool {
    // SAFETY: the block is in use; what lies after it is the top or another block.
    unsafe {
        let old_bytes = (*block).size();
        let after = block as usize + old_bytes;
        if after == (*head).top {
            if !reach(head, (block as usize).saturating_add(bytes)) {
                return false;
            }
            (*block).size_and_use = bytes | IN_USE;
            (*head).last = bytes;
            set_top(head, block as usize + bytes);
            return true;
        }
        let next = after as *mut Block;
        if (*next).is_in_use() || old_bytes + (*next).size() < bytes {
            return false;
        }
        unlink(head, next.cast());
        (*block).size_and_use = (old_bytes + (*next).size()) | IN_USE;
        set_before(head, block);
        split(head, block, bytes, BLOCK_BYTES_MIN);
        true
    }
}

#[cfg(test)]
mod tests;
