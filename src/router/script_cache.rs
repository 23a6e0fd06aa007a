//! The scripts that clients have sent: a node that does not know one by its SHA1 is sent its text.
//!
//! Owns the memory of them, one for the whole gateway, by SHA1 and bounded in bytes: those that were
//! learned first are forgotten first. A server keeps what EVAL and SCRIPT LOAD have brought; a master
//! that came later, or has restarted, does not. Must not know which node lacks what, nor commands
//! beyond the form of EVAL and EVALSHA.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::resp::request::{RequestLimits, Scan};
use crate::resp::{Args, RequestScanner, write};

/// Digits of a SHA1.
const DIGITS: usize = 40;
/// Texts of which it is remembered that they have been learned.
const SEEN_MAX: usize = 1024;

/// The scripts of all clients.
#[derive(Debug)]
pub struct ScriptCache {
    bytes_max: usize,
    known: Mutex<Known>,
    /// How often a text was sent to a node that lacked it.
    sent: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    texts: HashMap<String, Arc<[u8]>>,
    /// Their SHA1s, those learned first at the front.
    order: VecDeque<String>,
    bytes: usize,
    /// Hashes of texts that are known, so that a text is not digested for each EVAL.
    keys: RandomState,
    seen: std::collections::HashSet<u64>,
}

impl ScriptCache {
    /// No scripts yet, and never more than so many bytes of them.
    pub fn new(bytes_max: usize) -> ScriptCache {
        ScriptCache { bytes_max, known: Mutex::default(), sent: AtomicU64::new(0) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client has sent this text.
    pub fn learn(&self, text: &[u8]) {
        if text.len() > self.bytes_max {
            return;
        }
        let mut known = self.known();
        let hash = known.keys.hash_one(text);
        if known.seen.contains(&hash) {
            return;
        }
        if known.seen.len() >= SEEN_MAX {
            known.seen.clear();
        }
        known.seen.insert(hash);
        let digest = sha1_smol::Sha1::from(text).digest().to_string();
        if known.texts.insert(digest.clone(), text.into()).is_none() {
            known.order.push_back(digest);
            known.bytes += text.len();
        }
        while known.bytes > self.bytes_max {
            let Some(first) = known.order.pop_front() else { break };
            let gone = known.texts.remove(&first).map_or(0, |text| text.len());
            known.bytes -= gone;
            known.seen.clear();
        }
    }

    /// SCRIPT FLUSH: nothing is known any more.
    pub fn forget(&self) {
        *self.known() = Known::default();
    }

    /// Whether the script with this SHA1 is known.
    pub fn knows(&self, digest: &[u8]) -> bool {
        self.text(digest).is_some()
    }

    /// Bytes of all texts, and how often one was sent to a node that lacked it.
    pub fn figures(&self) -> (usize, u64) {
        (self.known().bytes, self.sent.load(Ordering::Relaxed))
    }

    /// The text of the script with this SHA1, when it is known.
    pub fn text(&self, digest: &[u8]) -> Option<Arc<[u8]>> {
        // Redis takes a SHA1 in either case.
        let digest = std::str::from_utf8(digest).ok().filter(|digest| digest.len() == DIGITS)?;
        self.known().texts.get(&digest.to_ascii_lowercase()).cloned()
    }

    /// The request of an EVALSHA with the script's text in place of its SHA1, when that is known.
    pub fn with_text(&self, args: Args<'_>) -> Option<Vec<u8>> {
        let text = self.text(args.get(1))?;
        let by_digest = args.get(0);
        // EVALSHA becomes EVAL, and EVALSHA_RO EVAL_RO.
        let by_text = [by_digest.get(..4)?, by_digest.get(7..)?].concat();
        let mut request = Vec::new();
        write::array_len(&mut request, args.len());
        write::bulk(&mut request, &by_text);
        write::bulk(&mut request, &text);
        request.extend_from_slice(args.as_sent(2, args.len()));
        Some(request)
    }

    /// As [`Self::with_text`], of a request that a node has declined.
    pub(super) fn mended(&self, request: &[u8]) -> Option<Vec<u8>> {
        let mut scanner = RequestScanner::default();
        let Ok(Scan::Request(len)) = scanner.scan(request, &RequestLimits::NONE, true) else {
            return None;
        };
        let args = scanner.args(&request[..len]);
        let is_digest = args.get(1).len() == DIGITS && args.len() > 2;
        let mended = is_digest.then(|| self.with_text(args)).flatten()?;
        self.sent.fetch_add(1, Ordering::Relaxed);
        Some(mended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"return 1";
    const DIGEST: &str = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";

    fn request(words: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        write::request(&mut out, &words);
        out
    }

    #[test]
    fn a_script_is_known_by_its_sha1_in_either_case() {
        let cache = ScriptCache::new(100);
        assert!(!cache.knows(DIGEST.as_bytes()));
        cache.learn(TEXT);
        cache.learn(TEXT);
        assert!(cache.knows(DIGEST.as_bytes()) && cache.knows(DIGEST.to_uppercase().as_bytes()));
        assert!(!cache.knows(b"e0e1") && !cache.knows(&[0xff; DIGITS]));
        for (asked, mended) in [("EVALSHA", "EVAL"), ("evalsha_ro", "eval_ro")] {
            assert_eq!(
                cache.mended(&request(&[asked, DIGEST, "1", "key", "arg"])),
                Some(request(&[mended, "return 1", "1", "key", "arg"]))
            );
        }
        assert_eq!(cache.mended(&request(&["EVALSHA", &"0".repeat(40), "0"])), None);
        assert_eq!(cache.mended(&request(&["EVAL", "return 1", "0"])), None);
        assert_eq!(cache.figures(), (TEXT.len(), 2));
        cache.forget();
        assert!(!cache.knows(DIGEST.as_bytes()));
        cache.learn(TEXT);
        assert!(cache.knows(DIGEST.as_bytes()));
    }

    #[test]
    fn it_is_bounded_and_the_first_go_first() {
        let cache = ScriptCache::new(64);
        let text = |n: usize| format!("return {n:08}");
        let digest = |n| sha1_smol::Sha1::from(text(n)).digest().to_string();
        for n in 0..1000 {
            cache.learn(text(n).as_bytes());
            assert!(cache.figures().0 <= 64);
        }
        let known: Vec<usize> = (0..1000).filter(|n| cache.knows(digest(*n).as_bytes())).collect();
        assert_eq!(known, [996, 997, 998, 999]);
        cache.learn(&[b'x'; 65]);
        assert_eq!(cache.figures().0, 60);
        // One that was forgotten can be learned again.
        cache.learn(text(1).as_bytes());
        assert!(cache.knows(digest(1).as_bytes()));
    }
}
