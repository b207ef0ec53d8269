# Each target is one script, which runs as well by itself.

help:   ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo:   ## Poller and processor, end to end in Docker on this machine; ARGS="--help" shows its options
	@scripts/demo.sh $(ARGS)

test:   ## All tests; installs what they need
	@scripts/test.sh

sim:    ## The simulated world of node-sim; SEEDS=100000, or ARGS="--replay SEED"
	@scripts/sim.sh --seeds $(or $(SEEDS),5000) $(ARGS)

lint:   ## clippy, shellcheck and Packer's validate, warnings denied
	@scripts/lint-scripts.sh
	@scripts/lint-packer.sh
	@scripts/lint.sh

fmt:    ## Format the Rust sources
	@cargo fmt --all

docs:   ## Write the reference of settings again, from the agent's own table
	@scripts/docs.sh

fuzz:   ## A minute of fuzzing the frames of ACS; FOR=600 for ten
	@scripts/fuzz.sh $(or $(FOR),60)

package: ## .deb and .rpm of a release build, with a list of what is in it; ARGS="--target aarch64-unknown-linux-gnu"
	@scripts/package.sh $(ARGS)

bake:   ## The AMI's recipe in a container, which is then booted and runs a job
	@scripts/bake.sh

deny:   ## Licences, banned and doubled crates, sources
	@scripts/deny.sh

reproducible: ## Build the release twice and compare; an hour on two cores
	@scripts/reproducible.sh

bench:  ## The figures in README
	@cargo bench

clean:  ## Everything that was built or made by tests and demo; what was installed stays
	@cargo clean

.DEFAULT_GOAL := help
.PHONY: help demo test sim lint fmt docs fuzz package bake deny reproducible bench clean
