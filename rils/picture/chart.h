#pragma once

#include <string>
#include <utility>
#include <vector>

#include "rils/picture/svg.h"

namespace tessera::rils {

/// A line of a chart. A point that is not finite leaves a gap.
struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // by x, ascending
  bool dashed = false;
};

struct Chart {
  std::string title;
  std::string x_label;
  std::vector<Series> series;
  bool from_zero = false;  // the y axis begins at 0
  std::string unit = "";   // shown at the y axis
};

/// Draws a chart into a box: axes with round numbers, a line and a legend entry for each series. Many points are
/// averaged over the pixels that they share.
void draw_chart(Svg& svg, const Chart& chart, double x, double y, double width, double height);

/// Round numbers that cover [low, high] with at most `most` steps.
/// The two ends themselves where doubles between them are too few for that.
[[nodiscard]] std::vector<double> axis_ticks(double low, double high, int most);

}  // namespace tessera::rils
