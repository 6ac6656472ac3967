# The linear kernels on processors that lack what this machine may have: no AVX-512 instruction outside its files (Haswell), no AVX
# outside its own (Nehalem). A leak ends in SIGILL.
source "$(dirname "$0")/lib.sh"

command -v qemu-x86_64 >/dev/null || { echo "qemu-x86_64 is not installed"; exit 77; }
tests=$(dirname "$TERRACE")/terrace_tests_kernels
[ -x "$tests" ] || { echo "$tests is not built"; exit 77; }
for processor in Haswell Nehalem; do
  expect 0 qemu-x86_64 -cpu "$processor" "$tests" \
    --gtest_filter='LinearTest.ARowDoesNotDependOnTheOthersNorOnThreads:LinearTest.OutputsOfOneCallMayDifferInFormatAndPrecision:IsaTest.*'
  says out "[  PASSED  ] 5 tests."
done
done_testing
