#!/usr/bin/env bash
# What must hold before a commit: types, lint, the contract, generated files without a diff, layers.
# Says what fails and how to mend it; works without a network.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=node_modules/.bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

step() { # name, fix, command...
  local name=$1 fix=$2
  shift 2
  if "$@" >"$work/out" 2>&1; then
    printf 'ok      %s\n' "$name"
  else
    failed=1
    cat "$work/out"
    printf 'FAILED  %s: %s\n' "$name" "$fix"
  fi
}

against_main() {
  local ref
  for ref in main origin/main; do
    git rev-parse --verify --quiet "$ref^{commit}" >/dev/null || continue
    mkdir "$work/main" && git archive "$ref" buf.yaml proto | tar -x -C "$work/main" || return 1
    "$bin/buf" breaking --against "$work/main"
    return
  done
  echo "there is no branch main to compare with"
}

generated() {
  "$bin/buf" generate --output "$work" && diff -rq "$work/lib/wire/gen" lib/wire/gen
}

kernels() {
  npm run --silent build:kernels -- -o "$work/kernels.wasm" &&
    cmp "$work/kernels.wasm" lib/llama/kernels/kernels.wasm
}

metrics_document() {
  node dist/deploy/metrics/main.js >"$work/metrics.md" && diff "$work/metrics.md" docs/metrics.md
}

rules() {
  node dist/deploy/prometheus/main.js "$work/rules" && diff -r "$work/rules" deploy/prometheus/rules
}

dashboards() {
  node dist/deploy/grafana/main.js "$work/dashboards" && diff -r "$work/dashboards" deploy/grafana/dashboards
}

step "types" "see above" "$bin/tsc" -p . --noEmit
step "lint and format" "make fmt, then see above" "$bin/biome" ci --colors=off --error-on-warnings --diagnostic-level=warn --max-diagnostics=20 .
step "contract: lint" "see above" "$bin/buf" lint
step "contract: format" "make fmt" "$bin/buf" format --diff --exit-code
step "contract: compatible with main" "add fields and methods; never change or reuse numbers" against_main
step "generated code in lib/wire/gen" "npx buf generate, and commit the result" generated
step "kernels.wasm" "npm run build:kernels, and commit the result" kernels
step "docs/metrics.md" "make observability, and commit the result" metrics_document
step "dashboards in deploy/grafana" "make observability, and commit the result" dashboards
step "rules in deploy/prometheus" "make observability, and commit the result" rules
step "charts/covote" "make chart, and commit the result" node scripts/chart.js --check
step "layers" "see above" "$bin/vitest" run dist/test/architecture --reporter=dot

exit "$failed"
