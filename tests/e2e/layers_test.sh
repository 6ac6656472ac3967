# .ci/layers finds each kind of offence, in a small tree of its own.
source "$(dirname "$0")/lib.sh"
tree="$work/tree"
mkdir -p "$tree"/{.ci,scripts,kernels/base,comm,runtime,launcher,tests}
cp "$TERRACE_SOURCE_DIR/.ci/layers" "$tree/.ci/"
cp "$TERRACE_SOURCE_DIR/scripts/setup.sh" "$tree/scripts/"
echo '#pragma once' >"$tree/kernels/base/good.h"
echo '#include "kernels/base/good.h"' >"$tree/comm/good.cpp"
expect 0 "$tree/.ci/layers"
says out "0 offences"

offence() {  # FILE TEXT MESSAGE
  printf '%b' "$2" >"$tree/$1"
  expect 1 "$tree/.ci/layers"
  says out "$3"
  says out "1 offences"
  rm "$tree/$1"
}
echo '#pragma once' >"$tree/runtime/engine.h"
echo '#pragma once' >"$tree/kernels/backend.h"
offence kernels/a.cpp '#include "runtime/engine.h"\n' "kernels/a.cpp:1: kernels may include only kernels/, not runtime/engine.h"
offence comm/a.cpp '\n#include "kernels/backend.h"\n' "comm/a.cpp:2: comm may include only comm/, kernels/base/, not kernels/backend.h"
offence runtime/a.cpp '#include <mpi.h>\n' "runtime/a.cpp:1: <mpi.h> may be included only in"
offence launcher/a.cpp '#include <yaml-cpp/yaml.h>\n' "<yaml-cpp/yaml.h> may be included only in"
offence runtime/a.cpp '#include "engine.h"\n' "is not a path from the root"
offence runtime/a.cpp '#include <no/such/header.h>\n' "is not on this machine"
offence runtime/a.h '#pragma once\ninline std::string f() { return ""; }\n' "runtime/a.h:1: does not compile alone"
offence runtime/a.cpp "$(printf '//\\n%.0s' {1..501})" "501 lines, over 500"
done_testing
