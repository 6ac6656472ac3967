#include "tests/cudasim/checker/install.h"

#include "tests/cudasim/checker/race_checker.h"

namespace cudasim {

void install_race_checker() {
  static auto& the_checker = *new RaceChecker;  // kernels may still run while the process ends
  install_checker(&the_checker);
}

}  // namespace cudasim
