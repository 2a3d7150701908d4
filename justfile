# One line each; what a recipe does stands in the tool or script it calls. `just` alone lists them.

_list:
    @just --list --unsorted

# everything that needs nothing but Rust and PostgreSQL's server binaries
test *args:
    cargo test --workspace {{ args }}

# the ignored tests: real binaries, several processes, a proxy in front
e2e *args:
    cargo test --workspace {{ args }} -- --ignored

# formatting and lints, warnings count
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# the layers of docs/ARCHITECTURE.md hold
layers *checks:
    scripts/layers {{ checks }}

# each of those checks finds a planted violation
layers-bite *names:
    scripts/layers-bite {{ names }}

# repository rules that no compiler checks
house:
    scripts/house

# dependencies: who may use what, licences, sources
deny:
    cargo deny check -A unused-wrapper bans licenses sources

# known vulnerabilities; fetches the advisory database
advisories:
    cargo deny check advisories

# documentation of all crates, warnings count
docs:
    RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps

# benches that show the specs' times
bench *args:
    cargo bench --workspace {{ args }}

# the fuzz targets of the OAuth parsers, two at a time, each for so many seconds
fuzz seconds="60":
    scripts/fuzz {{ seconds }}

# load against a running pair of instances
load *args:
    scripts/load {{ args }}

# which rows of docs/spec have a test; fails when a required one has none
spec *args:
    scripts/spec-rows --require docs/spec/required.txt {{ args }}

# writes docs/openapi.json from the code
openapi:
    cargo run -q -p statuspulse-auth -- openapi > docs/openapi.json

# all of it on a fresh machine, the way a merge is judged
ci:
    bash .ci/run
