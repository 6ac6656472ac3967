// Metrics as Prometheus' text format (version 0.0.4) has them, written top to bottom.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "launcher/serve/histogram.h"

namespace terrace {

class MetricsText {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  /// Begins a metric; its samples follow. `type`: counter, gauge or histogram.
  void family(std::string_view name, std::string_view type, std::string_view help);
  void sample(double value, Labels labels = {});
  void histogram(const Histogram& histogram);
  /// A metric of one sample.
  void gauge(std::string_view name, std::string_view help, double value);
  void counter(std::string_view name, std::string_view help, double value);

  const std::string& text() const { return text_; }

 private:
  void line(std::string_view suffix, Labels labels, double value);

  std::string name_;
  std::string text_;
};

}  // namespace terrace
