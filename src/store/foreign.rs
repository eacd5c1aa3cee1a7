//! Refuses run files that lead out of themselves.
//!
//! HDF5 reads and writes other files on a file's word: through external links, external storage, virtual datasets and links
//! of kinds that plug-ins define. A run of ours has none of these. So every file is walked before anything in it is
//! followed: all groups that hard links lead to, their links listed without following any. Soft links stay, since they
//! lead to what the walk has seen or nowhere. While a file is being written nothing new is created in it (SWMR).

use std::path::Path;

use hdf5::File;

use super::bounds::damaged;
use super::error::{Context, StoreError};
use ffi::{Link, Object};

/// Links that a file may have. A run has some hundred; a group that contains itself has no end of them.
const MOST_LINKS: usize = 1 << 16;

/// Groups that may lie in one another. A run has three.
const DEEPEST: usize = 32;

/// Looks through all links of a file.
///
/// # Errors
/// Something in it leads to another file, or the links cannot be listed.
pub fn refuse_foreign(path: &Path, file: &File) -> Result<(), StoreError> {
    let refused = |name: &[u8], what: &str| StoreError::Outside {
        path: path.to_owned(),
        name: String::from_utf8_lossy(name).into_owned(),
        what: what.to_owned(),
    };
    let mut groups = vec![Vec::new()];
    let mut links = 0;
    while let Some(group) = groups.pop() {
        let left = MOST_LINKS - links;
        let listed = hdf5::sync::sync(|| ffi::links(file.id(), &group, left));
        let listed = listed.doing(path, || {
            format!("list the group /{}", String::from_utf8_lossy(&group))
        })?;
        links += listed.len();
        if links >= MOST_LINKS {
            return Err(damaged(path, format!("it has {MOST_LINKS} links or more")));
        }
        let name_of = |link: &Link| match group.is_empty() {
            true => link.name.clone(),
            false => [&group, &b"/"[..], &link.name].concat(),
        };
        // All of them before any is followed.
        for link in &listed {
            let odd = matches!(&*link.name, b"" | b".") || link.name.contains(&b'/');
            match link.kind {
                ffi::HARD | ffi::SOFT if odd => {
                    return Err(refused(&name_of(link), "has a name that no link can have"));
                }
                ffi::HARD | ffi::SOFT => {}
                ffi::EXTERNAL => {
                    return Err(refused(&name_of(link), "is a link into another file"));
                }
                _ => return Err(refused(&name_of(link), "is a link of an unknown kind")),
            }
        }
        for link in listed.iter().filter(|link| link.kind == ffi::HARD) {
            let name = name_of(link);
            let found = hdf5::sync::sync(|| ffi::look_at(file.id(), &name));
            let found = found.doing(path, || {
                format!("look at {}", String::from_utf8_lossy(&name))
            })?;
            match found {
                Object::Group if name.split(|&byte| byte == b'/').count() > DEEPEST => {
                    return Err(damaged(
                        path,
                        format!("it has more than {DEEPEST} groups in one another"),
                    ));
                }
                Object::Group => groups.push(name),
                Object::Stored => {}
                Object::External => {
                    return Err(refused(
                        &name,
                        "keeps its values in another file (external storage)",
                    ));
                }
                Object::Virtual => {
                    return Err(refused(
                        &name,
                        "takes its values from elsewhere (a virtual dataset)",
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Calls of the HDF5 library, to be made under its lock. The crate has the same, but makes an enum of whatever number a
/// file gives as the kind of a link.
#[expect(unsafe_code, reason = "calls into C")]
mod ffi {
    use std::ffi::{CStr, CString, c_char, c_int, c_void};
    use std::ptr;

    use hdf5::h5check;
    use hdf5_sys::h5::H5_index_t::H5_INDEX_NAME;
    use hdf5_sys::h5::H5_iter_order_t::H5_ITER_NATIVE;
    use hdf5_sys::h5d::{H5D_layout_t, H5Dget_create_plist};
    use hdf5_sys::h5i::{H5I_type_t, H5Iget_type, hid_t};
    use hdf5_sys::h5l::{H5L_info_t, H5Literate};
    use hdf5_sys::h5o::{H5Oclose, H5Oopen};
    use hdf5_sys::h5p::{H5P_DEFAULT, H5Pclose, H5Pget_external_count, H5Pget_layout};

    pub const HARD: c_int = 0;
    pub const SOFT: c_int = 1;
    pub const EXTERNAL: c_int = 64;

    pub struct Link {
        pub name: Vec<u8>,
        pub kind: c_int,
    }

    /// What a hard link leads to.
    pub enum Object {
        Group,
        /// A dataset with its values in this file, a type, or what cannot be opened and so not be used.
        Stored,
        External,
        Virtual,
    }

    struct Listed {
        links: Vec<Link>,
        most: usize,
    }

    /// The links of a group, at most so many.
    pub fn links(file: hid_t, group: &[u8], most: usize) -> hdf5::Result<Vec<Link>> {
        let mut listed = Listed {
            links: Vec::new(),
            most,
        };
        let to = (&raw mut listed).cast::<c_void>();
        // SAFETY: `note` gets `to` back while `listed` lives, and nobody else uses it meanwhile; the group is closed
        // once.
        unsafe {
            let opened = h5check(H5Oopen(file, path(group)?.as_ptr(), H5P_DEFAULT))?;
            let done = H5Literate(
                opened,
                H5_INDEX_NAME,
                H5_ITER_NATIVE,
                ptr::null_mut(),
                Some(note),
                to,
            );
            let done = h5check(done);
            h5check(H5Oclose(opened))?;
            done?;
        }
        Ok(listed.links)
    }

    /// Keeps a link; ends the listing behind the last one that is wanted.
    unsafe extern "C" fn note(
        _: hid_t,
        name: *const c_char,
        info: *const H5L_info_t,
        to: *mut c_void,
    ) -> c_int {
        // SAFETY: the library gives a string and a struct whose first field is the link's kind, and what `links` gave it.
        let (name, kind, listed) = unsafe {
            (
                CStr::from_ptr(name),
                info.cast::<c_int>().read(),
                &mut *to.cast::<Listed>(),
            )
        };
        listed.links.push(Link {
            name: name.to_bytes().to_vec(),
            kind,
        });
        c_int::from(listed.links.len() >= listed.most)
    }

    /// Looks at what is behind a path of hard links.
    pub fn look_at(file: hid_t, name: &[u8]) -> hdf5::Result<Object> {
        let name = path(name)?;
        // SAFETY: identifiers are used only while they are valid, and closed once.
        unsafe {
            let Ok(object) = h5check(H5Oopen(file, name.as_ptr(), H5P_DEFAULT)) else {
                return Ok(Object::Stored);
            };
            let found = match H5Iget_type(object) {
                H5I_type_t::H5I_GROUP => Ok(Object::Group),
                H5I_type_t::H5I_DATASET => storage(object),
                _ => Ok(Object::Stored),
            };
            h5check(H5Oclose(object))?;
            found
        }
    }

    /// # Safety
    /// It must be an open dataset.
    unsafe fn storage(dataset: hid_t) -> hdf5::Result<Object> {
        // SAFETY: as above.
        unsafe {
            let list = h5check(H5Dget_create_plist(dataset))?;
            let (files, layout) = (h5check(H5Pget_external_count(list)), H5Pget_layout(list));
            h5check(H5Pclose(list))?;
            Ok(match (files?, layout) {
                (_, H5D_layout_t::H5D_VIRTUAL) => Object::Virtual,
                (1.., _) => Object::External,
                _ => Object::Stored,
            })
        }
    }

    /// The root for no name at all.
    fn path(name: &[u8]) -> hdf5::Result<CString> {
        let path = [b"/", name].concat();
        CString::new(path).map_err(|_| "a name with a zero byte".into())
    }
}
