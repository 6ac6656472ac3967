#include "launcher/batch/mapped_text.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/base/error.h"

namespace terrace {

MappedText::MappedText(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO that nobody writes to is not waited for
  struct stat status = {};
  std::string problem;
  if (file < 0 || ::fstat(file, &status) != 0) {
    problem = std::strerror(errno);
  } else if (!S_ISREG(status.st_mode)) {
    problem = "it is not a regular file";
  } else if (status.st_size > 0) {
    const auto size = static_cast<size_t>(status.st_size);
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
    if (data == MAP_FAILED) {
      problem = std::strerror(errno);
    } else {
      text_ = {static_cast<const char*>(data), size};
    }
  }
  if (file >= 0) ::close(file);
  if (!problem.empty()) throw Error(ErrorCode::kInvalidValue, fmt::format("cannot read {}: {}", path, problem));
}

MappedText::~MappedText() {
  if (!text_.empty()) ::munmap(const_cast<char*>(text_.data()), text_.size());
}

}  // namespace terrace
