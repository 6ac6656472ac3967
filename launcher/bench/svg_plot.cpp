#include "launcher/bench/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "launcher/bench/text_table.h"

namespace terrace {
namespace {

constexpr double kWidth = 640, kHeight = 400;
constexpr double kLeft = 70, kRight = 130, kTop = 44, kBottom = 54;

/// Where values lie on the paper.
struct Scale {
  double x_min, x_max, y_min, y_max;  // y: powers of ten

  double x(double value) const { return kLeft + share(value, x_min, x_max) * (kWidth - kLeft - kRight); }
  double y(double value) const { return kHeight - kBottom - share(value, y_min, y_max) * (kHeight - kTop - kBottom); }
  static double share(double value, double min, double max) { return max > min ? std::log(value / min) / std::log(max / min) : 0.5; }
};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string label(double x, double y, const char* anchor, const std::string& text, const char* more = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" {}>{}</text>\n", x, y, anchor, more, escaped(text));
}

std::string grid(const Scale& scale, const std::set<double>& ticks) {
  std::string svg;
  const auto line = [](double x1, double y1, double x2, double y2) {
    return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>\n", x1, y1, x2, y2);
  };
  for (const double x : ticks) {
    svg += line(scale.x(x), kTop, scale.x(x), kHeight - kBottom);
    svg += label(scale.x(x), kHeight - kBottom + 18, "middle", fmt::format("{:g}", x));
  }
  for (double y = scale.y_min; y <= scale.y_max * 1.001; y *= 10) {
    svg += line(kLeft, scale.y(y), kWidth - kRight, scale.y(y));
    svg += label(kLeft - 8, scale.y(y) + 4, "end", fmt::format("{:g}", y));
  }
  return svg;
}

std::string draw(const PlotLine& line, const Scale& scale) {
  std::string path, dots;
  for (const auto& [x, y] : line.points) {
    path += fmt::format("{:.1f},{:.1f} ", scale.x(x), scale.y(y));
    dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", scale.x(x), scale.y(y), line.colour);
    dots += label(scale.x(x), scale.y(y) - 8, "middle", short_number(y), "font-size=\"10\"");
  }
  const auto& [last_x, last_y] = line.points.back();
  return fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n{}", path, line.colour, dots) +
         label(scale.x(last_x) + 12, scale.y(last_y) + 4, "start", line.name, fmt::format("fill=\"{}\"", line.colour).c_str());
}

}  // namespace

std::string to_svg(const Plot& plot) {
  std::set<double> xs, ys;
  for (const PlotLine& line : plot.lines) {
    for (const auto& [x, y] : line.points) xs.insert(x), ys.insert(y);
  }
  const double y_min = std::pow(10, std::floor(std::log10(*ys.begin())));
  const double y_max = std::pow(10, std::ceil(std::log10(*ys.rbegin())));
  const Scale scale = {*xs.begin(), *xs.rbegin(), y_min, std::max(y_max, y_min * 10)};
  std::string svg = fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
                                "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
                                kWidth, kHeight);
  svg += label(kLeft, 24, "start", plot.title, "font-size=\"14\"");
  svg += grid(scale, xs);
  svg += label((kLeft + kWidth - kRight) / 2, kHeight - 14, "middle", plot.x_name);
  svg += label(kLeft - 8, kTop - 8, "end", plot.y_name);
  for (const PlotLine& line : plot.lines) {
    if (!line.points.empty()) svg += draw(line, scale);
  }
  return svg + "</svg>\n";
}

}  // namespace terrace
