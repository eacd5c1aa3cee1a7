//! The file driver through which HDF5 writes a run file, on top of a [`Journaled`] file.
//!
//! HDF5's drivers are tables of functions, of which there are two layouts: that of 1.10 and 1.12, and that of 1.14
//! and later (class version 1). HDF5 refuses a table of another version.

#![expect(unsafe_code, reason = "a file driver is a table of C functions")]

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulong, c_void};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hdf5::globals::H5P_FILE_ACCESS;
use hdf5::{File, h5check};
use hdf5_sys::h5::{H5get_libversion, haddr_t, herr_t, hsize_t};
use hdf5_sys::h5f::{
    H5F_ACC_RDONLY, H5F_ACC_RDWR, H5F_ACC_SWMR_READ, H5F_ACC_TRUNC, H5F_LIBVER_V110, H5Fclose,
    H5Fcreate, H5Fopen,
};
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5p::{
    H5P_DEFAULT, H5Pclose, H5Pcreate, H5Pset, H5Pset_driver, H5Pset_file_locking,
    H5Pset_libver_bounds,
};

use super::journal::Journaled;

/// A file and its journal, shared by HDF5 and the writer.
#[derive(Clone)]
pub struct SharedFile(Arc<Mutex<Journaled>>);

impl SharedFile {
    pub fn new(journaled: Journaled) -> Self {
        Self(Arc::new(Mutex::new(journaled)))
    }

    pub fn lock(&self) -> MutexGuard<'_, Journaled> {
        // A panic while the lock was held would have ended the program.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The mode in which HDF5 opens a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DriverMode {
    /// Create an empty file for writing.
    Create,
    /// Open for writing, and clear a writer's marks that the file is open or truncated.
    ClearMarks,
    Read,
    /// Read a file that is being written, or whose writer left its marks.
    ReadSwmr,
}

thread_local! {
    /// The file that the driver opens next in this thread.
    static NEXT: RefCell<Option<SharedFile>> = const { RefCell::new(None) };
}

/// Opens `file`, whose name is `path`, with HDF5.
///
/// # Errors
/// HDF5 cannot open the file, or is of a version whose drivers are not known here.
pub fn open(file: &SharedFile, path: &Path, mode: DriverMode) -> hdf5::Result<File> {
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| hdf5::Error::from("a file name cannot contain a zero byte"))?;
    let driver = driver()?;
    NEXT.set(Some(file.clone()));
    let opened = hdf5::sync::sync(|| open_by(driver, &name, mode));
    NEXT.set(None);
    opened
}

fn open_by(driver: hid_t, name: &CStr, mode: DriverMode) -> hdf5::Result<File> {
    // SAFETY: identifiers are closed once and used only while they are valid; the properties are those of this
    // class in every HDF5 from 1.10 on, each a C `bool` that the call copies; the file's identifier goes to
    // the `File`, which closes it.
    unsafe {
        let access = h5check(H5Pcreate(*H5P_FILE_ACCESS))?;
        let opened = set_access(access, driver, mode).and_then(|()| {
            h5check(match mode {
                DriverMode::Create => H5Fcreate(name.as_ptr(), H5F_ACC_TRUNC, H5P_DEFAULT, access),
                DriverMode::ClearMarks => H5Fopen(name.as_ptr(), H5F_ACC_RDWR, access),
                DriverMode::Read => H5Fopen(name.as_ptr(), H5F_ACC_RDONLY, access),
                DriverMode::ReadSwmr => {
                    H5Fopen(name.as_ptr(), H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, access)
                }
            })
        });
        h5check(H5Pclose(access))?;
        let id = opened?;
        if mode == DriverMode::ClearMarks
            && let Err(error) = h5check(H5Fincrement_filesize(id, 0))
        {
            let _ = h5check(H5Fclose(id));
            return Err(error);
        }
        hdf5::from_id(id)
    }
}

unsafe extern "C" {
    /// Exists in HDF5 from 1.10 on; `h5clear --increment` calls it.
    fn H5Fincrement_filesize(file: hid_t, increment: u64) -> herr_t;
}

/// # Safety
/// `access` is a list of file access properties.
unsafe fn set_access(access: hid_t, driver: hid_t, mode: DriverMode) -> hdf5::Result<()> {
    // SAFETY: guaranteed by the caller.
    unsafe {
        h5check(H5Pset_driver(access, driver, std::ptr::null()))?;
        // We have our own lock on the file.
        h5check(H5Pset_file_locking(access, 0, 1))?;
        if matches!(mode, DriverMode::Create | DriverMode::ClearMarks) {
            // "Latest" would produce files that the HDF5 of stable distributions cannot read.
            h5check(H5Pset_libver_bounds(
                access,
                H5F_LIBVER_V110,
                H5F_LIBVER_V110,
            ))?;
        }
        if mode == DriverMode::ClearMarks {
            let mut on = true;
            for property in [c"clear_status_flags", c"skip_eof_check"] {
                let value = (&raw mut on).cast::<c_void>();
                h5check(H5Pset(access, property.as_ptr(), value))?;
            }
        }
    }
    Ok(())
}

/// The driver's identifier in the library, where the first call registers it.
fn driver() -> hdf5::Result<hid_t> {
    static DRIVER: OnceLock<hdf5::Result<hid_t>> = OnceLock::new();
    DRIVER.get_or_init(|| hdf5::sync::sync(register)).clone()
}

fn register() -> hdf5::Result<hid_t> {
    let (mut major, mut minor, mut release) = (0, 0, 0);
    // SAFETY: the pointers are valid for the call. The class outlives it, and the library copies it.
    unsafe {
        h5check(H5get_libversion(
            &raw mut major,
            &raw mut minor,
            &raw mut release,
        ))?;
        match (major, minor) {
            (1, 10 | 12) => h5check(H5FDregister((&raw const CLASS_1_10).cast())),
            (1, 14..) | (2.., _) => h5check(H5FDregister((&raw const CLASS_1_14).cast())),
            _ => Err(hdf5::Error::from(format!(
                "run files cannot be written with HDF5 {major}.{minor}.{release}: use 1.10, 1.12, 1.14 or 2"
            ))),
        }
    }
}

unsafe extern "C" {
    fn H5FDregister(class: *const c_void) -> hid_t;
}

/// A function left to the library.
type UnsetFunction = Option<unsafe extern "C" fn()>;

/// The first functions, in the order that all versions share.
#[repr(C)]
struct FirstFunctions {
    name: *const c_char,
    maxaddr: haddr_t,
    fc_degree: c_int,
    terminate: UnsetFunction,
    superblock: [UnsetFunction; 3],
    fapl_size: usize,
    fapl: [UnsetFunction; 3],
    dxpl_size: usize,
    dxpl: [UnsetFunction; 2],
    open: unsafe extern "C" fn(*const c_char, c_uint, hid_t, haddr_t) -> *mut DriverFile,
    close: unsafe extern "C" fn(*mut DriverFile) -> herr_t,
    cmp: unsafe extern "C" fn(*const DriverFile, *const DriverFile) -> c_int,
    query: unsafe extern "C" fn(*const DriverFile, *mut c_ulong) -> herr_t,
    get_type_map: UnsetFunction,
    alloc: UnsetFunction,
    free: UnsetFunction,
    get_eoa: unsafe extern "C" fn(*const DriverFile, c_int) -> haddr_t,
    set_eoa: unsafe extern "C" fn(*mut DriverFile, c_int, haddr_t) -> herr_t,
    get_eof: unsafe extern "C" fn(*const DriverFile, c_int) -> haddr_t,
    get_handle: UnsetFunction,
    read:
        unsafe extern "C" fn(*mut DriverFile, c_int, hid_t, haddr_t, usize, *mut c_void) -> herr_t,
    write: unsafe extern "C" fn(
        *mut DriverFile,
        c_int,
        hid_t,
        haddr_t,
        usize,
        *const c_void,
    ) -> herr_t,
}

/// The last functions, also shared by all versions.
#[repr(C)]
struct LastFunctions {
    flush: unsafe extern "C" fn(*mut DriverFile, hid_t, u8) -> herr_t,
    truncate: unsafe extern "C" fn(*mut DriverFile, hid_t, u8) -> herr_t,
    lock: unsafe extern "C" fn(*mut DriverFile, u8) -> herr_t,
    unlock: unsafe extern "C" fn(*mut DriverFile) -> herr_t,
}

/// `H5FD_class_t` of HDF5 1.10 and 1.12.
#[repr(C)]
struct Class110 {
    functions: FirstFunctions,
    ends: LastFunctions,
    free_lists: [c_int; 7],
}

/// `H5FD_class_t` of HDF5 1.14 and later.
#[repr(C)]
struct Class114 {
    version: c_uint,
    value: c_int,
    functions: FirstFunctions,
    vectors_and_selections: [UnsetFunction; 4],
    ends: LastFunctions,
    delete: UnsetFunction,
    control: UnsetFunction,
    free_lists: [c_int; 7],
}

// SAFETY: its only pointer points to a constant.
unsafe impl Sync for Class110 {}
// SAFETY: as above.
unsafe impl Sync for Class114 {}

const FUNCTIONS: FirstFunctions = FirstFunctions {
    name: c"lcascope_journal".as_ptr(),
    maxaddr: i64::MAX as haddr_t,
    // `H5F_CLOSE_WEAK`, as in the default driver.
    fc_degree: 1,
    terminate: None,
    superblock: [None; 3],
    fapl_size: 0,
    fapl: [None; 3],
    dxpl_size: 0,
    dxpl: [None; 2],
    open: opened,
    close,
    cmp: compare,
    query,
    get_type_map: None,
    alloc: None,
    free: None,
    get_eoa,
    set_eoa,
    get_eof,
    get_handle: None,
    read,
    write,
};

const ENDS: LastFunctions = LastFunctions {
    flush,
    truncate,
    lock,
    unlock,
};

/// Separate free space for metadata and data: `H5FD_FLMAP_DICHOTOMY`.
const FREE_LISTS: [c_int; 7] = [1, 1, 1, 3, 3, 1, 1];

static CLASS_1_10: Class110 = Class110 {
    functions: FUNCTIONS,
    ends: ENDS,
    free_lists: FREE_LISTS,
};

static CLASS_1_14: Class114 = Class114 {
    version: 1,
    // In the range for unregistered drivers.
    value: 511,
    functions: FUNCTIONS,
    vectors_and_selections: [None; 4],
    ends: ENDS,
    delete: None,
    control: None,
    free_lists: FREE_LISTS,
};

/// An open file, as the library knows it.
#[repr(C)]
struct DriverFile {
    /// `H5FD_t`, filled in by the library: 80 bytes in 1.10, and not many more since.
    library: [u64; 32],
    file: SharedFile,
}

/// The file behind a pointer from the library.
///
/// # Safety
/// The pointer was returned by [`opened`] and has not been passed to [`close`] yet.
unsafe fn file<'a>(file: *const DriverFile) -> MutexGuard<'a, Journaled> {
    // SAFETY: guaranteed by the caller.
    unsafe { (*file).file.lock() }
}

const DONE: herr_t = 0;
const FAILED: herr_t = -1;

fn code<E>(result: Result<(), E>) -> herr_t {
    result.map_or(FAILED, |()| DONE)
}

unsafe extern "C" fn opened(_: *const c_char, _: c_uint, _: hid_t, _: haddr_t) -> *mut DriverFile {
    // The library may open a file twice: it first checks whether it exists.
    NEXT.with_borrow(|next| match next {
        Some(file) => Box::into_raw(Box::new(DriverFile {
            library: [0; 32],
            file: file.clone(),
        })),
        None => std::ptr::null_mut(),
    })
}

unsafe extern "C" fn close(handle: *mut DriverFile) -> herr_t {
    // SAFETY: it was made by `opened`, and the library no longer uses it.
    let handle = unsafe { Box::from_raw(handle) };
    code(handle.file.lock().close())
}

unsafe extern "C" fn compare(a: *const DriverFile, b: *const DriverFile) -> c_int {
    // SAFETY: the library passes open files.
    let (a, b) = unsafe { (&(*a).file, &(*b).file) };
    if Arc::ptr_eq(&a.0, &b.0) {
        return 0;
    }
    let identity = |file: &SharedFile| {
        let meta = file.lock().disk().metadata();
        meta.map_or((0, 0), |meta| (meta.dev(), meta.ino()))
    };
    identity(a).cmp(&identity(b)) as c_int
}

/// The features of the default driver: aggregation and accumulation, SWMR readers, and files that the default driver
/// can open.
unsafe extern "C" fn query(_: *const DriverFile, flags: *mut c_ulong) -> herr_t {
    const AGGREGATE_METADATA: c_ulong = 0x1;
    const ACCUMULATE_METADATA: c_ulong = 0x2 | 0x4;
    const DATA_SIEVE: c_ulong = 0x8;
    const AGGREGATE_SMALL_DATA: c_ulong = 0x10;
    const SWMR: c_ulong = 0x1000;
    const DEFAULT_COMPATIBLE: c_ulong = 0x8000;
    if !flags.is_null() {
        // SAFETY: the library's own variable.
        unsafe {
            *flags = AGGREGATE_METADATA
                | ACCUMULATE_METADATA
                | DATA_SIEVE
                | AGGREGATE_SMALL_DATA
                | SWMR
                | DEFAULT_COMPATIBLE;
        }
    }
    DONE
}

unsafe extern "C" fn get_eoa(handle: *const DriverFile, _: c_int) -> haddr_t {
    // SAFETY: the library passes an open file; likewise in all functions below.
    unsafe { file(handle) }.allocated()
}

unsafe extern "C" fn set_eoa(handle: *mut DriverFile, _: c_int, end: haddr_t) -> herr_t {
    // SAFETY: see `get_eoa`.
    unsafe { file(handle) }.allocate(end);
    DONE
}

unsafe extern "C" fn get_eof(handle: *const DriverFile, _: c_int) -> haddr_t {
    // SAFETY: see `get_eoa`.
    unsafe { file(handle) }.written()
}

unsafe extern "C" fn read(
    handle: *mut DriverFile,
    _: c_int,
    _: hid_t,
    address: haddr_t,
    size: usize,
    buffer: *mut c_void,
) -> herr_t {
    // SAFETY: see `get_eoa`; the buffer has `size` bytes.
    unsafe {
        let buffer = slice::from_raw_parts_mut(buffer.cast::<u8>(), size);
        code(file(handle).read(address, buffer))
    }
}

unsafe extern "C" fn write(
    handle: *mut DriverFile,
    _: c_int,
    _: hid_t,
    address: haddr_t,
    size: usize,
    buffer: *const c_void,
) -> herr_t {
    // SAFETY: see `get_eoa`; the buffer has `size` bytes.
    unsafe {
        let buffer = slice::from_raw_parts(buffer.cast::<u8>(), size);
        code(file(handle).write(address, buffer))
    }
}

unsafe extern "C" fn flush(handle: *mut DriverFile, _: hid_t, _: u8) -> herr_t {
    // SAFETY: see `get_eoa`.
    code(unsafe { file(handle) }.drain())
}

unsafe extern "C" fn truncate(handle: *mut DriverFile, _: hid_t, closing: u8) -> herr_t {
    // SAFETY: see `get_eoa`.
    unsafe { file(handle) }.cut(closing != 0);
    DONE
}

/// Does nothing: we have our own lock on the file. The library marks a file as open only if its driver has locks.
unsafe extern "C" fn lock(_: *mut DriverFile, _: u8) -> herr_t {
    DONE
}

unsafe extern "C" fn unlock(_: *mut DriverFile) -> herr_t {
    DONE
}

const _: () = {
    // As in the headers of these versions, on a machine with 8-byte pointers.
    assert!(size_of::<usize>() != 8 || size_of::<Class110>() == 280);
    assert!(size_of::<usize>() != 8 || size_of::<Class114>() == 336);
    assert!(size_of::<hsize_t>() == 8);
};
