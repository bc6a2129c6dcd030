//! How large an image may be. Every limit is far above real images and low enough that a hostile one is refused
//! instead of filling memory or a pool.

/// Most paths. Each costs about 400 bytes of memory while an image is read.
pub const MAX_PATHS: usize = 2_000_000;
/// Longest content of one file.
pub const MAX_CONTENT_BYTES: u64 = 1 << 40;
/// Longest sum of all contents, and longest stream after decompression: a compressed bomb ends here.
pub const MAX_TOTAL_BYTES: u64 = 4 << 40;
/// Longest PAX header or GNU long name of one tar member; it is held in memory.
pub const MAX_HEADER_BYTES: u64 = 1 << 20;
/// Most bytes of names, link targets and attributes in all; they are held in memory.
pub const MAX_METADATA_BYTES: usize = 512 << 20;
/// Longest name and value of an extended attribute, as in the kernel: larger ones could not be written.
pub const MAX_XATTR_NAME_BYTES: usize = 255;
/// See [`MAX_XATTR_NAME_BYTES`].
pub const MAX_XATTR_VALUE_BYTES: usize = 65536;
/// Most data pieces of one sparse file in a tar archive; the map is held in memory.
pub const MAX_SPARSE_PIECES: usize = 262_144;
/// Longest JSON document of an OCI image; it is held in memory.
pub const MAX_JSON_BYTES: u64 = 4 << 20;
/// Longest os-release, passwd or group file; they are held in memory.
pub const MAX_SMALL_FILE_BYTES: u64 = 1 << 20;
/// Most bytes of small files held at a time.
pub const MAX_SMALL_FILES_BYTES: usize = 16 << 20;
/// Most memory a decompressor may ask for (xz -9 and zstd --long=27 fit).
pub const MAX_DECODER_KIB: u32 = 136 << 10;
