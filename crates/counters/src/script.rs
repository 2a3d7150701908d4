//! Scripts that run on the server, each on one key.

use std::sync::LazyLock;

use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, ToRedisArgs, cmd};

use crate::link::Link;

pub(crate) static ADMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("admit.lua")));
pub(crate) static PUBLISH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("publish.lua")));

/// A script's text, and the name that the server has for it.
pub(crate) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }

    /// Runs it by name, and by text where the server doesn't know it: it was restarted, or has just taken over. The text
    /// goes to the one node of the key; [`redis::Script`] would need all nodes of a cluster to be there.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        link: &mut Link,
        key: &str,
        arguments: &[impl ToRedisArgs],
    ) -> RedisResult<T> {
        match call("EVALSHA", &self.hash, key, arguments).query_async(link).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                call("EVAL", self.text, key, arguments).query_async(link).await
            }
            answer => answer,
        }
    }
}

fn call(name: &str, script: &str, key: &str, arguments: &[impl ToRedisArgs]) -> Cmd {
    let mut command = cmd(name);
    command.arg(script).arg(1).arg(key).arg(arguments);
    command
}
