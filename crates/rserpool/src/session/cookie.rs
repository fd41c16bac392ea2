//! Cookies that users cannot make up or change: with a code (HMAC-SHA-256) by a key that the elements of a pool share (RFC 5352 §3.8,
//! RFC 5355 §2.16).
use std::fmt;
use std::sync::Arc;

use ring::hmac;
use rserpool_wire::PoolHandle;

/// How long the code before each cookie is.
const CODE: usize = 32;
/// The least length of a secret: what is shorter can be guessed.
const LEAST: usize = 16;

/// The secret that the elements of a pool share, for [`ServiceSession::set_cookie_key`](crate::ServiceSession::set_cookie_key).
///
/// A code says that an element of the pool made the cookie, not when, nor for whom: a user can present an older one of its own, or
/// pass it on. Where that matters, put a count and the user's name into the cookie. It is not encrypted either.
#[derive(Clone)]
pub struct CookieKey(Arc<hmac::Key>);

impl CookieKey {
    /// A key; `None` for a secret of fewer than 16 bytes. 32 random ones are best.
    #[must_use]
    pub fn new(secret: &[u8]) -> Option<Self> {
        let key = || Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)));
        (secret.len() >= LEAST).then(key)
    }

    /// The cookie with its code.
    #[must_use]
    pub fn seal(&self, pool_handle: &PoolHandle<'_>, cookie: &[u8]) -> Vec<u8> {
        let mut context = self.context(pool_handle);
        context.update(cookie);
        [context.sign().as_ref(), cookie].concat()
    }

    /// The cookie that was sealed for this pool with this key; `None` for everything else.
    #[must_use]
    pub fn open<'a>(&self, pool_handle: &PoolHandle<'_>, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (code, cookie) = sealed.split_at_checked(CODE)?;
        let message = [&Self::bound_to(pool_handle), cookie].concat();
        hmac::verify(&self.0, &message, code).is_ok().then_some(cookie)
    }

    fn context(&self, pool_handle: &PoolHandle<'_>) -> hmac::Context {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&Self::bound_to(pool_handle));
        context
    }

    /// What goes before the cookie: the pool, so that one key for several pools does not mix them up.
    fn bound_to(pool_handle: &PoolHandle<'_>) -> Vec<u8> {
        let handle = pool_handle.as_bytes();
        [&(handle.len() as u64).to_be_bytes(), handle].concat()
    }
}

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_opens_as_it_was_sealed_and_not_otherwise() {
        let key = |byte: u8| CookieKey::new(&[byte; LEAST]).expect("long enough");
        let (pool, other_pool) = (PoolHandle::from("ab"), PoolHandle::from("a"));
        let sealed = key(1).seal(&pool, b"count=7");
        assert_eq!(key(1).open(&pool, &sealed), Some(&b"count=7"[..]));
        assert_eq!(key(2).open(&pool, &sealed), None);
        assert_eq!(key(1).open(&other_pool, &key(1).seal(&pool, b"c")), None);
        for changed in 0..sealed.len() {
            let mut tampered = sealed.clone();
            tampered[changed] ^= 1;
            assert_eq!(key(1).open(&pool, &tampered), None, "byte {changed}");
        }
        for short in 0..CODE {
            assert_eq!(key(1).open(&pool, &sealed[..short]), None);
        }
        assert_eq!(key(1).open(&pool, &key(1).seal(&pool, b"")), Some(&b""[..]));
        assert!(CookieKey::new(&[1; LEAST - 1]).is_none());
    }
}
