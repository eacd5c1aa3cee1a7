//! Reads a Python pickle (protocols 2 to 5) as data: nothing in it is imported, called or built.
//!
//! An object that Python would make by a call stays a [`Value::Call`], for the caller to recognise. Values are small
//! and refer to each other by index, so what is used many times is not copied, and nothing here is recursive. Each byte
//! of the pickle adds at most 16 bytes to the tables, apart from the spare room with which they grow.

/// Longest text that is returned, in bytes.
const LONGEST_TEXT: usize = 1024;

/// Maximum number of values on the stack. Python adds the items of a collection a thousand at a time; only those of a
/// tuple are all on the stack at once.
const MOST_ON_STACK: usize = 1 << 20;

/// A text in the pickle: its range of bytes.
#[derive(Clone, Copy, Debug)]
struct Text {
    start: u32,
    end: u32,
}

/// A value, mostly an index into the tables of a [`Pickle`].
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// A value that is not used here: a list, a negative number or one with a fraction, bytes, `None`.
    Opaque,
    Count(u32),
    Text(u32),
    /// The name of a module and the name of a function or class in it.
    Global(u32),
    Tuple(u32),
    Dict(u32),
    /// A function or class, and its arguments.
    Call(u32),
    /// The identifier of an object that is stored outside the pickle.
    Persistent(u32),
}

/// A pickle that has been read.
#[derive(Default)]
pub struct Pickle {
    bytes: Vec<u8>,
    counts: Vec<u64>,
    texts: Vec<Text>,
    globals: Vec<(Value, Value)>,
    /// Range of the items of each tuple.
    tuples: Vec<(u32, u32)>,
    items: Vec<Value>,
    dicts: u32,
    /// Entries of all dictionaries: the dictionary, the key and the value; sorted by dictionary.
    entries: Vec<(u32, Value, Value)>,
    calls: Vec<(Value, Value)>,
    persistent: Vec<Value>,
}

impl Pickle {
    /// Reads a pickle and returns it with its outermost value, or what is wrong.
    pub fn read(bytes: Vec<u8>) -> Result<(Self, Value), String> {
        if u32::try_from(bytes.len()).is_err() {
            return Err("it is too long".to_owned());
        }
        let mut reader = Reader {
            pickle: Self {
                bytes,
                ..Self::default()
            },
            at: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
        };
        let value = match reader.run() {
            Ok(value) => value,
            Err(what) => return Err(format!("{what}, at byte {}", reader.at)),
        };
        let mut pickle = reader.pickle;
        // The sort is stable: of two values for a key, the later one stays behind the other.
        pickle.entries.sort_by_key(|(dict, ..)| *dict);
        Ok((pickle, value))
    }

    /// Returns a non-negative whole number.
    pub fn count(&self, value: Value) -> Option<u64> {
        match value {
            Value::Count(index) => self.counts.get(index as usize).copied(),
            _ => None,
        }
    }

    /// Returns a text, unless it is very long: reading it again and again would take too much time.
    pub fn text(&self, value: Value) -> Option<&str> {
        let Value::Text(index) = value else {
            return None;
        };
        let text = self.texts.get(index as usize)?;
        let bytes = self.bytes.get(text.start as usize..text.end as usize)?;
        (bytes.len() <= LONGEST_TEXT).then(|| str::from_utf8(bytes).ok())?
    }

    /// Returns the names of a module and of a function or class in it.
    pub fn global(&self, value: Value) -> Option<(&str, &str)> {
        let Value::Global(index) = value else {
            return None;
        };
        let (module, name) = *self.globals.get(index as usize)?;
        Some((self.text(module)?, self.text(name)?))
    }

    pub fn tuple(&self, value: Value) -> Option<&[Value]> {
        let Value::Tuple(index) = value else {
            return None;
        };
        let (start, end) = *self.tuples.get(index as usize)?;
        self.items.get(start as usize..end as usize)
    }

    /// Returns the function or class of a call, and its arguments.
    pub fn call(&self, value: Value) -> Option<(Value, Value)> {
        match value {
            Value::Call(index) => self.calls.get(index as usize).copied(),
            _ => None,
        }
    }

    pub fn persistent(&self, value: Value) -> Option<Value> {
        match value {
            Value::Persistent(index) => self.persistent.get(index as usize).copied(),
            _ => None,
        }
    }

    /// Returns the keys and values of a dictionary in the order in which they were set.
    pub fn entries(&self, dict: u32) -> impl Iterator<Item = (Value, Value)> {
        let start = self.entries.partition_point(|(of, ..)| *of < dict);
        let own = self.entries[start..].iter();
        own.take_while(move |(of, ..)| *of == dict)
            .map(|(_, key, value)| (*key, *value))
    }
}

type Step<T = ()> = Result<T, &'static str>;

/// The stack machine of the format.
struct Reader {
    pickle: Pickle,
    at: usize,
    stack: Vec<Value>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: Vec<Option<Value>>,
}

/// Appends to a table and returns the item's index. It fits, since a pickle has fewer than 2^32 bytes and each adds at
/// most one item.
fn added<T>(table: &mut Vec<T>, item: T) -> u32 {
    table.push(item);
    u32::try_from(table.len() - 1).unwrap_or(u32::MAX)
}

impl Reader {
    fn run(&mut self) -> Step<Value> {
        if self.pickle.bytes.first() != Some(&0x80) {
            return Err("it is not a pickle of protocol 2 or later");
        }
        loop {
            match self.number(1)? {
                0x2e => return self.pop(),
                code => self.step(u8::try_from(code).unwrap_or(0))?,
            }
        }
    }

    /// Performs an operation.
    fn step(&mut self, code: u8) -> Step {
        match code {
            // PROTO
            0x80 => match self.number(1)? {
                2..=5 => Ok(()),
                _ => Err("its protocol is not one of 2 to 5"),
            },
            // FRAME, and READONLY_BUFFER
            0x95 => self.skip(8),
            0x98 => Ok(()),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            // POP, of a value or a mark
            b'0' if self.marks.last() == Some(&self.stack.len()) => {
                self.marks.pop();
                Ok(())
            }
            b'0' => self.pop().map(|_| ()),
            // POP_MARK, APPENDS, ADDITEMS
            b'1' | b'e' | 0x90 => self.pop_mark().map(|_| ()),
            // DUP
            b'2' => {
                let value = self.top()?;
                self.push(value)
            }
            // APPEND, BUILD: the list or object below stays as it is
            b'a' | b'b' => {
                self.pop()?;
                self.top().map(|_| ())
            }
            b'K' | b'M' | b'J' | 0x8a | 0x8b => self.int(code),
            b'X' | b'T' => self.text(4),
            0x8c | b'U' => self.text(1),
            0x8d => self.text(8),
            b'N'
            | 0x88
            | 0x89
            | b']'
            | 0x8f
            | 0x97
            | b'G'
            | b'B'
            | b'C'
            | 0x8e
            | 0x96
            | 0x82..=0x84
            | b'P'
            | b'l'
            | 0x91 => self.opaque(code),
            b')' | 0x85..=0x87 | b't' => self.tuple(code),
            b'}' | b'd' | b's' | b'u' => self.dict(code),
            b'c' | 0x93 => self.global(code),
            b'R' | 0x81 | 0x92 | b'i' | b'o' | b'Q' => self.object(code),
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memo(code),
            _ => Err("it has an unknown operation"),
        }
    }

    /// Reads an unsigned little-endian number of this many bytes.
    fn number(&mut self, bytes: usize) -> Step<usize> {
        let read = self.take(bytes)?;
        let number = read.iter().rev().try_fold(0_usize, |number, &byte| {
            number.checked_mul(256)?.checked_add(usize::from(byte))
        });
        number.ok_or("a length is too large")
    }

    fn take(&mut self, bytes: usize) -> Step<&[u8]> {
        let end = self.at.checked_add(bytes);
        let range = end.and_then(|end| self.pickle.bytes.get(self.at..end));
        let range = range.ok_or("it ends early")?;
        self.at += bytes;
        Ok(range)
    }

    fn skip(&mut self, bytes: usize) -> Step {
        self.take(bytes).map(|_| ())
    }

    /// Reads a text up to the end of the line.
    fn line(&mut self) -> Step<Value> {
        let rest = self.pickle.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n');
        let length = length.ok_or("it ends early")?;
        let start = self.at;
        self.at += length + 1;
        Ok(self.text_at(start, start + length))
    }

    fn text_at(&mut self, start: usize, end: usize) -> Value {
        // They fit: a pickle has fewer than 2^32 bytes.
        let [start, end] = [start, end].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
        Value::Text(added(&mut self.pickle.texts, Text { start, end }))
    }

    fn push(&mut self, value: Value) -> Step {
        if self.stack.len() >= MOST_ON_STACK {
            return Err("it keeps too many values at a time");
        }
        self.stack.push(value);
        Ok(())
    }

    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Step<Value> {
        let values = self.stack.get(self.floor()..);
        let last = values.and_then(|values| values.last());
        last.copied().ok_or("it takes a value that is not there")
    }

    fn pop(&mut self) -> Step<Value> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// Removes the last mark, and returns the values after it.
    fn pop_mark(&mut self) -> Step<Vec<Value>> {
        let mark = self
            .marks
            .pop()
            .ok_or("it takes a mark that is not there")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn int(&mut self, code: u8) -> Step {
        let length = match code {
            b'K' => 1,
            b'M' => 2,
            b'J' => 4,
            0x8a => self.number(1)?,
            _ => self.number(4)?,
        };
        let bytes = self.take(length)?;
        let negative = code != b'K' && code != b'M' && bytes.last().is_some_and(|last| *last > 127);
        let mut whole = [0; 8];
        let value = match whole.get_mut(..length) {
            Some(low) if !negative => {
                low.copy_from_slice(bytes);
                let count = u64::from_le_bytes(whole);
                Value::Count(added(&mut self.pickle.counts, count))
            }
            _ => Value::Opaque,
        };
        self.push(value)
    }

    fn text(&mut self, length: usize) -> Step {
        let length = self.number(length)?;
        let start = self.at;
        self.skip(length)?;
        let text = self.text_at(start, self.at);
        self.push(text)
    }

    /// Skips a value that is not used.
    fn opaque(&mut self, code: u8) -> Step {
        match code {
            // BINFLOAT
            b'G' => self.skip(8)?,
            // Bytes
            b'C' | b'B' | 0x8e | 0x96 => {
                let length = self.number(match code {
                    b'C' => 1,
                    b'B' => 4,
                    _ => 8,
                })?;
                self.skip(length)?;
            }
            // Extensions
            0x82 => self.skip(1)?,
            0x83 => self.skip(2)?,
            0x84 => self.skip(4)?,
            // PERSID
            b'P' => self.line().map(|_| ())?,
            // LIST, FROZENSET
            b'l' | 0x91 => self.pop_mark().map(|_| ())?,
            _ => {}
        }
        self.push(Value::Opaque)
    }

    fn tuple(&mut self, code: u8) -> Step {
        let items = match code {
            b')' => Vec::new(),
            b't' => self.pop_mark()?,
            _ => {
                let count = usize::from(code - 0x84);
                let start = self.stack.len().checked_sub(count);
                let start = start.filter(|start| *start >= self.floor());
                self.stack
                    .split_off(start.ok_or("it takes a value that is not there")?)
            }
        };
        let index = |items: &Vec<Value>| u32::try_from(items.len()).map_err(|_| "it is too long");
        let start = index(&self.pickle.items)?;
        self.pickle.items.extend(items);
        let range = (start, index(&self.pickle.items)?);
        let tuple = Value::Tuple(added(&mut self.pickle.tuples, range));
        self.push(tuple)
    }

    fn new_dict(&mut self) -> Value {
        self.pickle.dicts += 1;
        Value::Dict(self.pickle.dicts - 1)
    }

    fn dict(&mut self, code: u8) -> Step {
        let items = match code {
            b'}' => Vec::new(),
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_mark()?,
        };
        if code == b'}' || code == b'd' {
            let dict = self.new_dict();
            self.push(dict)?;
        }
        let top = self.top()?;
        let (pairs, []) = items.as_chunks() else {
            return Err("a key has no value");
        };
        if let Value::Dict(dict) = top {
            let entries = pairs.iter().map(|&[key, value]| (dict, key, value));
            self.pickle.entries.extend(entries);
        }
        Ok(())
    }

    fn global(&mut self, code: u8) -> Step {
        let names = if code == b'c' {
            (self.line()?, self.line()?)
        } else {
            let name = self.pop()?;
            (self.pop()?, name)
        };
        let global = Value::Global(added(&mut self.pickle.globals, names));
        self.push(global)
    }

    fn object(&mut self, code: u8) -> Step {
        if code == b'Q' {
            let identifier = self.pop()?;
            let value = Value::Persistent(added(&mut self.pickle.persistent, identifier));
            return self.push(value);
        }
        let (class, arguments) = match code {
            b'i' => {
                let names = (self.line()?, self.line()?);
                self.pop_mark()?;
                let class = Value::Global(added(&mut self.pickle.globals, names));
                (class, Value::Opaque)
            }
            b'o' => {
                let items = self.pop_mark()?;
                (
                    items.first().copied().unwrap_or(Value::Opaque),
                    Value::Opaque,
                )
            }
            _ => {
                if code == 0x92 {
                    self.pop()?;
                }
                let arguments = self.pop()?;
                (self.pop()?, arguments)
            }
        };
        let value = match self.pickle.global(class) {
            Some(("collections", "OrderedDict" | "defaultdict")) => self.new_dict(),
            _ => Value::Call(added(&mut self.pickle.calls, (class, arguments))),
        };
        self.push(value)
    }

    fn memo(&mut self, code: u8) -> Step {
        let index = match code {
            b'q' | b'h' => self.number(1)?,
            b'r' | b'j' => self.number(4)?,
            _ => self.memo.len(),
        };
        if code == b'h' || code == b'j' {
            let value = self.memo.get(index).copied().flatten();
            return self.push(value.ok_or("it recalls a value that is not there")?);
        }
        // Python counts the values, each of which has a byte at least.
        if index > self.pickle.bytes.len() {
            return Err("it numbers a value beyond its own length");
        }
        let value = self.top()?;
        if index >= self.memo.len() {
            self.memo.resize(index + 1, None);
        }
        self.memo[index] = Some(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pickle(operations: &[u8]) -> Vec<u8> {
        [b"\x80\x02", operations, b"."].concat()
    }

    fn read(operations: &[u8]) -> Result<(Pickle, Value), String> {
        Pickle::read(pickle(operations))
    }

    /// Bytes in the tables, without their spare room.
    fn size(pickle: &Pickle) -> usize {
        8 * pickle.counts.len()
            + size_of_val(&*pickle.texts)
            + size_of_val(&*pickle.globals)
            + size_of_val(&*pickle.tuples)
            + size_of_val(&*pickle.items)
            + size_of_val(&*pickle.entries)
            + size_of_val(&*pickle.calls)
            + size_of_val(&*pickle.persistent)
    }

    /// One of each operation that is known, with all that it takes.
    const KNOWN: &[&[u8]] = &[
        b"\x80\x05",
        b"\x95\0\0\0\0\0\0\0\0",
        b"N\x98",
        b"(0",
        b"N0",
        b"(NN1",
        b"](NNe",
        b"\x8f(NN\x90",
        b"N2",
        b"]Na",
        b"NNb",
        b"K\x01",
        b"M\x01\x02",
        b"J\x01\x02\x03\xff",
        b"\x8a\x02\x01\x02",
        b"\x8b\x02\0\0\0\x01\x02",
        b"X\x02\0\0\0ab",
        b"T\x02\0\0\0ab",
        b"\x8c\x02ab",
        b"U\x02ab",
        b"\x8d\x02\0\0\0\0\0\0\0ab",
        b"\x88",
        b"\x89",
        b"]",
        b"\x8f",
        b"\x97",
        b"G\0\0\0\0\0\0\0\0",
        b"B\x02\0\0\0ab",
        b"C\x02ab",
        b"\x8e\x02\0\0\0\0\0\0\0ab",
        b"\x96\x02\0\0\0\0\0\0\0ab",
        b"\x82a",
        b"\x83ab",
        b"\x84abcd",
        b"Pab\n",
        b"(NNl",
        b"(NN\x91",
        b")",
        b"N\x85",
        b"NN\x86",
        b"NNN\x87",
        b"(NNt",
        b"}",
        b"(NNd",
        b"}NNs",
        b"}(NNu",
        b"ca\nb\n",
        b"\x8c\x01a\x8c\x01b\x93",
        b"ca\nb\n)R",
        b"ca\nb\n)\x81",
        b"ca\nb\n)}\x92",
        b"(NNia\nb\n",
        b"(ca\nb\nNo",
        b"NQ",
        b"Nq\0",
        b"Nr\0\0\0\0",
        b"N\x94",
        b"Nq\0h\0",
        b"Nq\0j\0\0\0\0",
    ];

    #[test]
    fn every_operation_is_read_whole_or_refused() {
        let with_arguments: Vec<u8> = KNOWN.concat();
        for code in u8::MIN..=u8::MAX {
            let known = with_arguments.contains(&code);
            let needle = if known || code == b'.' {
                ""
            } else {
                "an unknown operation"
            };
            let said = read(&[code]).err().unwrap_or_default();
            // Many lack a value or an argument here.
            assert!(said.contains(needle), "{code:#x}: {said}");
        }
        for operations in KNOWN {
            let bytes = pickle(&[operations, &b"N"[..]].concat());
            let (pickle, value) = Pickle::read(bytes.clone()).unwrap();
            assert!(matches!(value, Value::Opaque), "{operations:?}");
            assert!(size(&pickle) <= 16 * bytes.len());
            for end in 0..bytes.len() {
                let said = Pickle::read(bytes[..end].to_vec()).err();
                assert!(said.is_some(), "{operations:?}: {end} bytes");
            }
        }
    }

    #[test]
    fn dictionaries_calls_and_numbers_are_found() {
        let (pickle, value) = read(
            b"ccollections\nOrderedDict\nq\0)R(X\x01\0\0\0acm\nf\n\x8c\x01sQK\x07\x85\x86RX\x01\0\0\0b\
              \x8a\x05\0\0\0\0\x01uX\x01\0\0\0cJ\xff\xff\xff\xffs}X\x01\0\0\0dNsb",
        )
        .unwrap();
        let Value::Dict(dict) = value else {
            panic!("{value:?}");
        };
        let entries: Vec<_> = pickle.entries(dict).collect();
        let keys: Vec<_> = entries.iter().map(|(key, _)| pickle.text(*key)).collect();
        assert_eq!(keys, [Some("a"), Some("b"), Some("c")]);
        let (function, arguments) = pickle.call(entries[0].1).unwrap();
        assert_eq!(pickle.global(function), Some(("m", "f")));
        let [storage, shape] = pickle.tuple(arguments).unwrap() else {
            panic!("{arguments:?}");
        };
        assert_eq!(pickle.text(pickle.persistent(*storage).unwrap()), Some("s"));
        let shape = pickle.tuple(*shape).unwrap();
        assert_eq!(pickle.count(shape[0]), Some(7));
        assert_eq!(pickle.count(entries[1].1), Some(1 << 32));
        assert!(matches!(entries[2].1, Value::Opaque));
    }

    #[test]
    fn damaged_pickles_say_what_is_wrong_and_where() {
        for (bytes, needles) in [
            (&b""[..], ["protocol 2", "byte 0"]),
            (b"(dp0\n.", ["protocol 2", "byte 0"]),
            (b"\x80\x06N.", ["2 to 5", "byte 2"]),
            (b"\x80\x02K", ["ends early", "byte 3"]),
            (b"\x80\x02h\x07.", ["recalls", "byte 4"]),
            (b"\x80\x02.", ["not there", "byte 3"]),
            (b"\x80\x02t.", ["a mark", "byte 3"]),
            (b"\x80\x02(N\x86.", ["not there", "byte 5"]),
            (b"\x80\x02}(Nu.", ["no value", "byte 6"]),
            (
                b"\x80\x02Nr\xff\xff\xff\xff.",
                ["beyond its own length", "byte 8"],
            ),
            (
                b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
                ["ends early", "byte 11"],
            ),
            (
                b"\x80\x02\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
                ["ends early", "byte 11"],
            ),
        ] {
            let said = Pickle::read(bytes.to_vec()).err().unwrap();
            for needle in needles {
                assert!(said.contains(needle), "{needle}: {said}");
            }
        }
    }

    #[test]
    fn nesting_and_repetition_take_no_more_room_than_their_bytes() {
        const TIMES: usize = 1 << 19;
        assert_eq!((size_of::<Value>(), size_of::<Option<Value>>()), (8, 8));
        let deep = |start: &[u8], level: &[u8], end: &[u8]| {
            let bytes = pickle(&[start, &level.repeat(TIMES), end].concat());
            let length = bytes.len();
            let (pickle, value) = Pickle::read(bytes).unwrap();
            assert!(size(&pickle) <= 16 * length, "{level:?}: {}", size(&pickle));
            (pickle, value)
        };
        deep(b")", b"\x85", b"");
        deep(b"N", b"Q", b"");
        deep(b"N", b"]", b"");
        deep(b"", b"}K\0", b"");
        deep(b"", b"(", b"N");
        // Each of the tuples has the one before twice: as text it would never end.
        let (pickle, value) = deep(b"Nq\0", b"h\0h\0\x86q\0", b"");
        assert_eq!(pickle.tuple(value).unwrap().len(), 2);
        // A dictionary in itself.
        let (pickle, value) = deep(b"}", b"2U\x01as", b"");
        let Value::Dict(dict) = value else {
            panic!("{value:?}");
        };
        assert_eq!(pickle.entries(dict).count(), TIMES);
        let said = read(&b"N".repeat(MOST_ON_STACK + 1)).err().unwrap();
        assert!(said.contains("too many values"), "{said}");
    }

    proptest! {
        #[test]
        fn any_operations_are_read_or_refused(
            parts in prop::collection::vec((0..KNOWN.len(), 0_usize..12, any::<u8>()), 0..200),
        ) {
            let mut bytes = vec![0x80, 2];
            for (known, cut, other) in parts {
                let operations = KNOWN[known];
                bytes.extend(&operations[..operations.len().min(cut)]);
                if cut == 0 {
                    bytes.push(other);
                }
            }
            bytes.push(b'.');
            let length = bytes.len();
            if let Ok((pickle, value)) = Pickle::read(bytes) {
                prop_assert!(size(&pickle) <= 16 * length);
                let _ = (pickle.call(value), pickle.tuple(value), pickle.text(value), pickle.global(value));
            }
        }
    }
}
