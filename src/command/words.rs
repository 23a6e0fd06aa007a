//! Sets of words kept as bits, spelled as Redis prints them.
//!
//! Owns the form of such a set. Knows nothing of which words there are.

/// Declares a set of words: a constant for each word, set operations, and a parser that runs in
/// the compiler, so that a misspelt word in the command table does not compile.
macro_rules! word_set {
    ($(#[$doc:meta])* $name:ident { $($konst:ident = $bit:literal $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name(u32);

        impl $name {
            /// The empty set.
            pub const EMPTY: $name = $name(0);
            $(#[doc = concat!("`", $word, "`")]
            pub const $konst: $name = $name(1 << $bit);)+

            const WORDS: &'static [(&'static str, u32)] = &[$(($word, 1 << $bit)),+];

            /// Whether all of `other` is in this set.
            pub const fn contains(self, other: $name) -> bool {
                self.0 & other.0 == other.0
            }

            /// What is in either set.
            #[must_use]
            pub const fn union(self, other: $name) -> $name {
                $name(self.0 | other.0)
            }

            /// What is in both sets.
            #[must_use]
            pub const fn intersection(self, other: $name) -> $name {
                $name(self.0 & other.0)
            }

            /// What is in this set and not in `other`.
            #[must_use]
            pub const fn without(self, other: $name) -> $name {
                $name(self.0 & !other.0)
            }

            /// Whether nothing is in the set.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// The set that has this one word, if there is such a word.
            pub fn from_word(word: &str) -> Option<$name> {
                Self::WORDS.iter().find(|(w, _)| *w == word).map(|&(_, bit)| $name(bit))
            }

            /// The words of the set, in the order of their declaration.
            pub fn words(self) -> impl Iterator<Item = &'static str> {
                let words = Self::WORDS.iter().filter(move |(_, bit)| self.0 & bit != 0);
                words.map(|&(word, _)| word)
            }

            /// The set of the words in a text of words and single spaces.
            pub(crate) const fn of(text: &str) -> $name {
                $name($crate::command::words::bits(text, Self::WORDS))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_set().entries(self.words()).finish()
            }
        }
    };
}

pub(crate) use word_set;

/// The bits of the words in `text`; meant for constants: an unknown word stops the compiler.
pub(crate) const fn bits(text: &str, words: &[(&str, u32)]) -> u32 {
    let mut set = 0;
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let (word, tail) = first_word(rest);
        let mut i = 0;
        while i < words.len() && !same(words[i].0.as_bytes(), word) {
            i += 1;
        }
        assert!(i < words.len(), "a row of the command table has an unknown word");
        set |= words[i].1;
        rest = tail;
    }
    set
}

/// The word before the first space, and what follows that space.
const fn first_word(text: &[u8]) -> (&[u8], &[u8]) {
    let mut i = 0;
    while i < text.len() && text[i] != b' ' {
        i += 1;
    }
    let (word, rest) = text.split_at(i);
    if rest.is_empty() { (word, rest) } else { (word, rest.split_at(1).1) }
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "a set is public where it is meant to be used")]
mod tests {
    word_set! {
        /// Three colours.
        Colours { RED = 0 "red", GREEN = 1 "green", DARK_RED = 2 "dark_red", }
    }

    #[test]
    fn sets_of_words() {
        let set = Colours::of("green dark_red");
        assert_eq!(set.words().collect::<Vec<_>>(), ["green", "dark_red"]);
        assert!(set.contains(Colours::GREEN) && !set.contains(Colours::RED));
        assert!(!set.contains(Colours::GREEN.union(Colours::RED)));
        assert_eq!(set.without(Colours::GREEN), Colours::DARK_RED);
        assert_eq!(set.intersection(Colours::of("red green")), Colours::GREEN);
        assert_eq!(Colours::of(""), Colours::EMPTY);
        assert!(Colours::EMPTY.is_empty());
        assert_eq!(Colours::from_word("red"), Some(Colours::RED));
        assert_eq!(Colours::from_word("re"), None);
        assert_eq!(format!("{set:?}"), r#"{"green", "dark_red"}"#);
    }

    #[test]
    #[should_panic(expected = "unknown word")]
    fn an_unknown_word_stops() {
        let _ = Colours::of("red blue");
    }
}
