// A small plot of lines over a logarithmic height, as SVG text that any browser shows. Any thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace terrace {

struct PlotLine {
  std::string name;
  std::string colour;                             // as SVG names it
  std::vector<std::pair<double, double>> points;  // (x, y), both above 0
};

struct Plot {
  std::string title;
  std::string x_name;
  std::string y_name;
  std::vector<PlotLine> lines;  // at least one point in all
};

/// Both axes logarithmic: a grid line for each x that occurs and each power of ten of y.
std::string to_svg(const Plot& plot);

}  // namespace terrace
