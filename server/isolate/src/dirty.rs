//! A large image: a file in memory, mapped twice. The arena's mapping is private, so a page that is written to becomes the arena's own,
//! and `/proc/self/pagemap` tells those from the file's.

use std::ptr::NonNull;

/// An image of which more than one page in this many is dirty may be mapped anew, which drops all its dirty pages at once.
const REMAP_FRACTION: usize = 4;
/// From so many dirty bytes on it is. Fewer are copied back, because the next call writes to mostly the same pages. The
/// first write to a page of the file costs a fault and a message to every other core, many times a copy.
const REMAP_BYTES: usize = 2 << 20;
/// After so many restores it is too, so that pages that one call alone wrote to are not copied for ever.
const REMAP_EVERY: u32 = 1_000;

/// The image as the system keeps it.
pub(crate) struct SharedImage {
    /// The file's own mapping, read only.
    source: NonNull<u8>,
    bytes: usize,
    page_bytes: usize,
    file: std::fs::File,
    /// An entry of the page map for each page, kept to be filled again.
    entries: Vec<u64>,
    dirty_pages: usize,
    restores_since_map: u32,
}

// SAFETY: the mapping is read only and belongs to this image; the file is closed with it.
unsafe impl Send for SharedImage {}

#[cfg(target_os = "linux")]
impl SharedImage {
    /// Moves the first bytes of an arena into a file and maps it in their place. Nothing if the system does not do its part; the arena
    /// has the same content in any case.
    ///
    /// # Safety
    ///
    /// The bytes are whole pages of an arena, usable, and no other code reads or writes them meanwhile.
    pub(crate) unsafe fn take(
        base: NonNull<u8>,
        bytes: usize,
        page_bytes: usize,
    ) -> Option<SharedImage> {
        // SAFETY: the name is terminated; the new descriptor is checked and then owned.
        let mut file = unsafe {
            use std::os::fd::FromRawFd;
            let descriptor = libc::memfd_create(c"vestibule-image".as_ptr(), libc::MFD_CLOEXEC);
            (descriptor >= 0).then(|| std::fs::File::from_raw_fd(descriptor))?
        };
        // SAFETY: the arena is usable this far. The slice is gone when the file is written.
        let content = unsafe { std::slice::from_raw_parts(base.as_ptr(), bytes) };
        std::io::Write::write_all(&mut file, content).ok()?;
        // SAFETY: a new mapping of a file of this length, at an address of the system's choice.
        let source = unsafe { map(None, bytes, libc::PROT_READ, libc::MAP_SHARED, &file) }?;
        let mut image = SharedImage {
            source,
            bytes,
            page_bytes,
            file,
            entries: vec![0; bytes / page_bytes],
            dirty_pages: 0,
            restores_since_map: 0,
        };
        // SAFETY: what the caller promises.
        unsafe {
            image.remap(base);
            image.tells_dirty_pages(base).then_some(image)
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        // SAFETY: the mapping has this length, lives as long as the image, and no code writes to the file.
        unsafe { std::slice::from_raw_parts(self.source.as_ptr(), self.bytes) }
    }

    /// How much of the arena was its own at the last restore.
    pub(crate) fn dirty_bytes(&self) -> usize {
        self.dirty_pages * self.page_bytes
    }

    /// Maps the file over the arena's first bytes, which drops their content.
    unsafe fn remap(&self, base: NonNull<u8>) {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
        // SAFETY: the range is the arena's, and the file has the content that the range must hold.
        if unsafe { map(Some(base), self.bytes, protection, flags, &self.file) }.is_none() {
            // The system may have taken the old mapping away already. It is out of memory, which ends a process elsewhere too.
            std::process::abort();
        }
    }

    /// Puts the image back.
    ///
    /// # Safety
    ///
    /// The base is that of the arena the image was taken of, and no other code reads or writes it meanwhile.
    pub(crate) unsafe fn restore(&mut self, base: NonNull<u8>) {
        let is_known = self.read_entries(base);
        let dirty = self.entries.iter().filter(|entry| is_dirty(**entry));
        self.dirty_pages = if is_known {
            dirty.count()
        } else {
            self.entries.len()
        };
        self.restores_since_map = self.restores_since_map.saturating_add(1);
        let is_old = self.restores_since_map >= REMAP_EVERY;
        let is_large = self.dirty_bytes() >= REMAP_BYTES || is_old;
        let is_much = is_large && self.dirty_pages > self.entries.len() / REMAP_FRACTION;
        // Which pages are dirty must be known to copy them back.
        if is_much || !is_known {
            (self.dirty_pages, self.restores_since_map) = (0, 0);
            // SAFETY: what the caller promises.
            return unsafe { self.remap(base) };
        }
        for (page, entry) in self.entries.iter().enumerate() {
            if !is_dirty(*entry) {
                continue;
            }
            let offset = page * self.page_bytes;
            // SAFETY: both mappings are this long, and they do not overlap.
            unsafe {
                let (target, source) = (base.add(offset), self.source.add(offset));
                target.copy_from_nonoverlapping(source, self.page_bytes);
            }
        }
    }

    /// Reads the system's page map of the arena. False if the system does not provide it.
    fn read_entries(&mut self, base: NonNull<u8>) -> bool {
        use std::os::unix::fs::FileExt;
        let Some(page_map) = page_map() else {
            return false;
        };
        let offset = base.as_ptr() as usize / self.page_bytes * size_of::<u64>();
        // SAFETY: any bytes are entries, and the vector has room for this many.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(
                self.entries.as_mut_ptr().cast::<u8>(),
                self.entries.len() * size_of::<u64>(),
            )
        };
        page_map.read_exact_at(bytes, offset as u64).is_ok()
    }

    /// Tries on the new mapping whether the system tells a page that was written to from one that was only read.
    unsafe fn tells_dirty_pages(&mut self, base: NonNull<u8>) -> bool {
        let last = self.bytes - 1;
        // SAFETY: both bytes lie in the arena; the first keeps its value.
        unsafe {
            let first = base.as_ptr().read_volatile();
            base.as_ptr().write_volatile(first);
            base.as_ptr().add(last).read_volatile();
        }
        self.read_entries(base)
            && self.entries.first().is_some_and(|entry| is_dirty(*entry))
            && self
                .entries
                .last()
                .is_some_and(|entry| !is_dirty(*entry) && is_present(*entry))
    }
}

#[cfg(target_os = "linux")]
impl Drop for SharedImage {
    fn drop(&mut self) {
        // SAFETY: the mapping is this image's own, and slices of it do not outlive the image.
        unsafe { libc::munmap(self.source.as_ptr().cast(), self.bytes) };
    }
}

/// Maps a file.
///
/// # Safety
///
/// A fixed address names memory that may be replaced.
#[cfg(target_os = "linux")]
unsafe fn map(
    at: Option<NonNull<u8>>,
    bytes: usize,
    protection: libc::c_int,
    flags: libc::c_int,
    file: &std::fs::File,
) -> Option<NonNull<u8>> {
    use std::os::fd::AsRawFd;
    let at = at.map_or(std::ptr::null_mut(), NonNull::as_ptr);
    // SAFETY: what the caller promises.
    let address = unsafe { libc::mmap(at.cast(), bytes, protection, flags, file.as_raw_fd(), 0) };
    (address != libc::MAP_FAILED)
        .then(|| NonNull::new(address.cast::<u8>()))
        .flatten()
}

/// The system's table of this process's pages.
#[cfg(target_os = "linux")]
fn page_map() -> Option<&'static std::fs::File> {
    static PAGE_MAP: std::sync::OnceLock<Option<std::fs::File>> = std::sync::OnceLock::new();
    PAGE_MAP
        .get_or_init(|| std::fs::File::open("/proc/self/pagemap").ok())
        .as_ref()
}

/// Whether a page is in memory.
fn is_present(entry: u64) -> bool {
    entry & (1 << 63) != 0
}

/// Whether a page is the arena's own: in memory and not the file's, or swapped out.
fn is_dirty(entry: u64) -> bool {
    let (is_files, is_swapped) = (entry & (1 << 61) != 0, entry & (1 << 62) != 0);
    is_swapped || (is_present(entry) && !is_files)
}

/// Elsewhere images are copied and compared.
#[cfg(not(target_os = "linux"))]
impl SharedImage {
    pub(crate) unsafe fn take(_: NonNull<u8>, _: usize, _: usize) -> Option<SharedImage> {
        None
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &[]
    }

    pub(crate) fn dirty_bytes(&self) -> usize {
        0
    }

    pub(crate) unsafe fn restore(&mut self, _: NonNull<u8>) {}
}
