//! Refuses run files that refer to other files.
//!
//! A file can make HDF5 read and write other files: through external links, external storage, virtual datasets and link
//! types defined by plug-ins. Our runs have none of these. Every file is therefore walked before anything in it is
//! followed: all groups reachable by hard links, whose links are listed without following any. Soft links are allowed,
//! since they lead to something that the walk has seen, or nowhere. While a file is being written, nothing new is
//! created in it (SWMR).

use std::path::Path;

use hdf5::File;

use super::bounds::damaged;
use super::error::{Context, StoreError};
use ffi::{Link, LinkTarget};

/// The most links in a file. A run has a few hundred; a group that contains itself has infinitely many.
const MOST_LINKS: usize = 1 << 16;

/// The deepest nesting of groups. A run has three levels.
const DEEPEST: usize = 32;

/// Checks all links of a file.
///
/// # Errors
/// Something in it leads to another file, or the links cannot be listed.
pub fn refuse_foreign(path: &Path, file: &File) -> Result<(), StoreError> {
    let refused = |name: &[u8], what: &str| StoreError::ForeignLink {
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
            return Err(damaged(path, format!("it has {MOST_LINKS} or more links")));
        }
        let name_of = |link: &Link| {
            if group.is_empty() {
                link.name.clone()
            } else {
                [&group, &b"/"[..], &link.name].concat()
            }
        };
        // All links are checked before any is followed.
        for link in &listed {
            let odd = matches!(&*link.name, b"" | b".") || link.name.contains(&b'/');
            match link.kind {
                ffi::HARD | ffi::SOFT if odd => {
                    return Err(refused(&name_of(link), "has an invalid name"));
                }
                ffi::HARD | ffi::SOFT => {}
                ffi::EXTERNAL => {
                    return Err(refused(&name_of(link), "is a link to another file"));
                }
                _ => return Err(refused(&name_of(link), "is an unknown kind of link")),
            }
        }
        for link in listed.iter().filter(|link| link.kind == ffi::HARD) {
            let name = name_of(link);
            let found = hdf5::sync::sync(|| ffi::classify_object(file.id(), &name));
            let found = found.doing(path, || {
                format!("look at {}", String::from_utf8_lossy(&name))
            })?;
            match found {
                LinkTarget::Group if name.split(|&byte| byte == b'/').count() > DEEPEST => {
                    return Err(damaged(
                        path,
                        format!("it has more than {DEEPEST} nested groups"),
                    ));
                }
                LinkTarget::Group => groups.push(name),
                LinkTarget::Stored => {}
                LinkTarget::External => {
                    return Err(refused(
                        &name,
                        "stores its values in another file (external storage)",
                    ));
                }
                LinkTarget::Virtual => {
                    return Err(refused(
                        &name,
                        "takes its values from other files (a virtual dataset)",
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Calls into the HDF5 library, to be made under its lock. The crate's own bindings convert whatever number the file
/// has as a link's type into an enum.
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

    /// The target of a hard link.
    pub enum LinkTarget {
        Group,
        /// A dataset with its values in this file, a type, or an object that cannot be opened and therefore not be
        /// used.
        Stored,
        External,
        Virtual,
    }

    struct LinkList {
        links: Vec<Link>,
        most: usize,
    }

    /// Lists the links of a group, at most `most`.
    pub fn links(file: hid_t, group: &[u8], most: usize) -> hdf5::Result<Vec<Link>> {
        let mut listed = LinkList {
            links: Vec::new(),
            most,
        };
        let to = (&raw mut listed).cast::<c_void>();
        // SAFETY: `note` gets `to` back while `listed` lives, and nothing else uses it meanwhile; the group is closed
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

    /// Keeps a link, and ends the listing after the last one wanted.
    unsafe extern "C" fn note(
        _: hid_t,
        name: *const c_char,
        info: *const H5L_info_t,
        to: *mut c_void,
    ) -> c_int {
        // SAFETY: the library passes a string, a struct whose first field is the link's type, and the pointer from
        // `links`.
        let (name, kind, listed) = unsafe {
            (
                CStr::from_ptr(name),
                info.cast::<c_int>().read(),
                &mut *to.cast::<LinkList>(),
            )
        };
        listed.links.push(Link {
            name: name.to_bytes().to_vec(),
            kind,
        });
        c_int::from(listed.links.len() >= listed.most)
    }

    /// Examines the object at a path of hard links.
    pub fn classify_object(file: hid_t, name: &[u8]) -> hdf5::Result<LinkTarget> {
        let name = path(name)?;
        // SAFETY: identifiers are used only while valid, and closed once.
        unsafe {
            let Ok(object) = h5check(H5Oopen(file, name.as_ptr(), H5P_DEFAULT)) else {
                return Ok(LinkTarget::Stored);
            };
            let found = match H5Iget_type(object) {
                H5I_type_t::H5I_GROUP => Ok(LinkTarget::Group),
                H5I_type_t::H5I_DATASET => storage(object),
                _ => Ok(LinkTarget::Stored),
            };
            h5check(H5Oclose(object))?;
            found
        }
    }

    /// Determines how a dataset is stored.
    ///
    /// # Safety
    /// `dataset` must be an open dataset.
    unsafe fn storage(dataset: hid_t) -> hdf5::Result<LinkTarget> {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let list = h5check(H5Dget_create_plist(dataset))?;
            let (files, layout) = (h5check(H5Pget_external_count(list)), H5Pget_layout(list));
            h5check(H5Pclose(list))?;
            Ok(match (files?, layout) {
                (_, H5D_layout_t::H5D_VIRTUAL) => LinkTarget::Virtual,
                (1.., _) => LinkTarget::External,
                _ => LinkTarget::Stored,
            })
        }
    }

    /// The path of a name; the root if the name is empty.
    fn path(name: &[u8]) -> hdf5::Result<CString> {
        let path = [b"/", name].concat();
        CString::new(path).map_err(|_| "a name with a zero byte".into())
    }
}
