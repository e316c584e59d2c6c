# CI runs bash .ci/run, which has these and more as parts.
.PHONY: test lint race fuzz bench release

test:
	go test ./...

lint race fuzz:
	bash .ci/run $@

bench:
	go run -C bench .

# make release VERSION=v0.1.0 [CI_URL=https://…]; see docs/releasing.md
release:
	go run -C internal/release . $(if $(CI_URL),-ci $(CI_URL)) $(VERSION)
