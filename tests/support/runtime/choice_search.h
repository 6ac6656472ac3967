// All executions of a program that asks what happens next: a depth-first search by replay. Each execution repeats the choices of the one before up to
// the last that can be made otherwise, makes it so, and takes 0 from there on. The program must be deterministic but for its choices.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

namespace terrace {

class ChoiceSearch {
 public:
  /// One of 0 .. num_ways - 1.
  size_t choose(size_t num_ways) {
    if (next_ == path_.size()) path_.push_back({0, num_ways});
    const Choice& choice = path_[next_++];
    if (choice.num_ways != num_ways) throw std::logic_error("a replayed execution came to another choice than before");
    return choice.taken;
  }
  /// The choices so far are those of an execution before: nothing new has happened yet.
  bool replaying() const { return next_ < path_.size(); }
  /// Begins the next execution; false: there is none.
  bool advance() {
    path_.resize(next_);
    while (!path_.empty() && path_.back().taken + 1 == path_.back().num_ways) path_.pop_back();
    next_ = 0;
    if (path_.empty()) return false;
    ++path_.back().taken;
    return true;
  }
  /// "0 2 1": of this execution, to find it again.
  std::string path() const {
    std::string text;
    for (size_t i = 0; i < next_; ++i) text += std::to_string(path_[i].taken) + " ";
    return text;
  }

 private:
  struct Choice {
    size_t taken;
    size_t num_ways;
  };
  std::vector<Choice> path_;
  size_t next_ = 0;  // choices made in this execution
};

}  // namespace terrace
