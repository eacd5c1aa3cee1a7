//! Recognises files that are mistaken for weights.

/// Number of first bytes that are examined.
pub const LOOKED_AT: usize = 512;

const CONVERT: &str = "write it as safetensors (in Python: safetensors.torch.save_file(state_dict, \"step_1.safetensors\"))";

const OLD: &str = "a Python pickle, as torch.save wrote before PyTorch 1.6";
const CONVERT_OLD: &str = "write it again with a later PyTorch: torch.save(torch.load(\"step_1.pt\", map_location=\"cpu\"), \"new/step_1.pt\")";

/// First bytes, what they mean, and the remedy.
const BY_START: [(&[u8], &str, &str); 17] = [
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the file itself",
        "fetch it with `git lfs pull`",
    ),
    (
        // Described only if it is given as a path of its own; in a folder, `torch` reads it.
        b"PK\x03\x04",
        "a zip archive, as torch.save writes it, that is, a single point",
        "give a folder with one file per point",
    ),
    (b"\x80\x02", OLD, CONVERT_OLD),
    (b"\x80\x03", OLD, CONVERT_OLD),
    (b"\x80\x04", OLD, CONVERT_OLD),
    (b"\x80\x05", OLD, CONVERT_OLD),
    (b"\x93NUMPY", "a NumPy array", CONVERT),
    (b"GGUF", "a GGUF file", CONVERT),
    (b"\x1f\x8b", "compressed with gzip", "unpack it with gunzip"),
    (b"BZh", "compressed with bzip2", "unpack it with bunzip2"),
    (b"\xfd7zXZ", "compressed with xz", "unpack it with unxz"),
    (
        b"\x28\xb5\x2f\xfd",
        "compressed with zstd",
        "unpack it with unzstd",
    ),
    (
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file",
        "give the file itself to `lcascope allocate`",
    ),
    (
        b"\x00\x05\x16\x07",
        "a macOS resource fork (AppleDouble), not the file itself",
        "delete it",
    ),
    (
        b"\x00\x05\x16\x00",
        "a macOS resource fork (AppleSingle), not the file itself",
        "delete it",
    ),
    (b"%PDF", "a PDF document", "download the weights again"),
    (b"\x7fELF", "a program", "give the weights"),
];

/// Returns what a file is by its first bytes, as the end of a sentence, and the remedy; `None` if unknown.
pub fn describe(start: &[u8]) -> Option<String> {
    let say = |what: &str, remedy: &str| Some(format!("is {what}: {remedy}"));
    if let Some((_, what, remedy)) = BY_START.iter().find(|(bytes, ..)| start.starts_with(bytes)) {
        return say(what, remedy);
    }
    if start.is_empty() {
        return say("empty", "copy or download it again");
    }
    if start.get(257..262) == Some(b"ustar") {
        return say("a tar archive", "unpack it");
    }
    let text = String::from_utf8_lossy(start);
    let text = text
        .trim_start_matches('\u{feff}')
        .trim_start()
        .to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if text.starts_with("<!doctype html")
        || (text.starts_with('<') && has(&["<html", "<head", "<body"]))
    {
        return say(
            "a web page (HTML) instead of the file",
            "download the weights again",
        );
    }
    if text.starts_with("<?xml") || text.starts_with("<error") {
        return say(
            "an XML document instead of the file",
            "download the weights again",
        );
    }
    if text.starts_with('{') && has(&["\"weight_map\"", "\"total_size\""]) {
        let remedy = "give each point a folder of its own, with the index and its files";
        return say(
            "the index of a model that is saved in several files (sharded)",
            remedy,
        );
    }
    if text.starts_with(['{', '[']) && !start.contains(&0) {
        return say("JSON", "give the weights");
    }
    let is_text = start
        .iter()
        .all(|b| matches!(b, b'\t' | b'\n' | b'\r' | b' '..=b'~'));
    is_text.then(|| "is text: give the weights".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_mistaken_for_weights_are_identified() {
        let mut tar = vec![b'x'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 336688\n";
        for (start, needle) in [
            (&pointer[..], "git lfs pull"),
            (b"", "empty"),
            (b"<!DOCTYPE html><html>", "HTML"),
            (b"\xef\xbb\xbf\n <HTML><head>", "HTML"),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied", "XML"),
            (
                b"{\n \"metadata\": {\"total_size\": 5}, \"weight_map\": {}}",
                "sharded",
            ),
            (b"{\"a\": 1}", "JSON"),
            (b"PK\x03\x04....archive/data.pkl", "a single point"),
            (b"\x80\x02\x8a\nl\xfc", "pickle"),
            (b"\x1f\x8b\x08\0", "gunzip"),
            (b"\x89HDF\r\n\x1a\n", "allocate"),
            (b"\0\x05\x16\x07\0\x02", "AppleDouble"),
            (&tar, "tar"),
            (b"404: Not Found", "text"),
        ] {
            let said = describe(start).expect(needle);
            assert!(said.starts_with("is ") && said.contains(needle), "{said}");
        }
        assert_eq!(describe(b"\x10\0\0\0\0\0\0\0{\"a\":1}"), None);
        assert_eq!(describe(b"\xff\xfe\x01"), None);
    }
}
