#!/bin/sh
# cargo build of a small workspace: cargo, rustc, the linker.
. "$(dirname "$0")/lib.sh"
home=$(eval echo "~$(id -un)")
PATH=$PATH:$home/.cargo/bin
[ -d "$home/.rustup" ] && export RUSTUP_HOME="$home/.rustup"
cargo --version >/dev/null 2>&1 || skip "cargo is not installed"
export PATH CARGO_HOME="$T/cargo"
mkdir -p one/src two/src
printf '[workspace]\nmembers = ["one", "two"]\n' >Cargo.toml
printf '[package]\nname = "one"\nversion = "0.1.0"\nedition = "2021"\n' >one/Cargo.toml
printf '[package]\nname = "two"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\none = { path = "../one" }\n' >two/Cargo.toml
cat >one/src/lib.rs <<'EOT'
use std::collections::BTreeMap;
pub fn words(text: &str) -> BTreeMap<String, Vec<usize>> {
    let mut all = BTreeMap::new();
    for (i, word) in text.split(' ').enumerate() { all.entry(word.to_string()).or_insert_with(Vec::new).push(i); }
    all
}
EOT
echo 'fn main() { println!("{:?}", one::words("a b a c")); }' >two/src/main.rs
record cargo build --offline --release
is "status" "$status" 0
is "what it built" "$(target/release/two)" '{"a": [0, 2], "b": [1], "c": [3]}'
recorded_whole
is "compilers" "$(query "SELECT count(*) >= 2 FROM processes WHERE run_id = $last_run AND executable LIKE '%/rustc'")" 1
pass
