#include "rils/picture/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace tessera::rils {
namespace {

constexpr double kLeft = 52, kRight = 12, kTop = 42, kBottom = 34;  // margins, pixels
constexpr double kCharacter = 6.2;                                  // mean width at size 10
constexpr std::string_view kGrid = "#e4e4e4";
constexpr std::string_view kInk = "#555555";

struct Bounds {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void include(double v) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
};

/// Whether a figure has a place in a chart. The differences of greater ones are no numbers.
bool is_drawn(double v) { return std::abs(v) < 1e300; }

/// Averages the points in each pixel column of the plot, and splits them into runs without gaps.
std::vector<std::vector<std::pair<double, double>>> thinned(const Series& series, const Bounds& x, double columns) {
  std::vector<std::vector<std::pair<double, double>>> runs(1);
  double column = -1, sum_x = 0, sum_y = 0;
  int count = 0;
  const auto flush = [&] {
    if (count > 0) runs.back().emplace_back(sum_x / count, sum_y / count);
    sum_x = sum_y = 0;
    count = 0;
  };
  for (const auto& [px, py] : series.points) {
    if (!is_drawn(px) || !is_drawn(py)) {
      flush();
      if (!runs.back().empty()) runs.emplace_back();
      continue;
    }
    const double at = std::floor((px - x.low) / std::max(x.high - x.low, 1e-300) * columns);
    if (at != column) flush();
    column = at;
    sum_x += px;
    sum_y += py;
    ++count;
  }
  flush();
  return runs;
}

}  // namespace

std::vector<double> axis_ticks(double low, double high, int most) {
  if (!(high > low)) return {low};
  const double raw = (high - low) / std::max(most, 1);
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (const double round : {1.0, 2.0, 5.0}) {
    if (round * power >= raw) {
      step = round * power;
      break;
    }
  }
  // Beyond 2^53 steps from zero, neighbouring ticks are the same number.
  if (std::max(std::abs(low), std::abs(high)) / step > 1e15) return {low, high};
  std::vector<double> ticks;
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; ++k)
    ticks.push_back(k * step + 0.0);  // no −0
  return ticks;
}

void draw_chart(Svg& svg, const Chart& chart, double x, double y, double width, double height) {
  Bounds bx, by;
  for (const Series& s : chart.series) {
    for (const auto& [px, py] : s.points) {
      if (!is_drawn(px) || !is_drawn(py)) continue;
      bx.include(px);
      by.include(py);
    }
  }
  svg.text(x + kLeft, y + 15, chart.title, {.size = 13, .bold = true});
  if (bx.low > bx.high) {
    svg.text(x + kLeft, y + height / 2, "no data yet", {.fill = kInk});
    return;
  }
  if (chart.from_zero) by.include(0);
  if (by.low == by.high) by.high = by.low + std::max(1.0, 1e-3 * std::abs(by.low));
  const double w = width - kLeft - kRight, h = height - kTop - kBottom;
  const auto to_x = [&](double v) { return x + kLeft + (v - bx.low) / std::max(bx.high - bx.low, 1e-300) * w; };
  const auto to_y = [&](double v) { return y + kTop + (1 - (v - by.low) / (by.high - by.low)) * h; };
  for (const double tick : axis_ticks(by.low, by.high, 5)) {
    svg.line(x + kLeft, to_y(tick), x + kLeft + w, to_y(tick), kGrid);
    svg.text(x + kLeft - 6, to_y(tick) + 4, fmt::format("{:g}", tick), {.size = 10, .fill = kInk, .anchor = "end"});
  }
  for (const double tick : axis_ticks(bx.low, bx.high, 6)) {
    svg.line(to_x(tick), y + kTop + h, to_x(tick), y + kTop + h + 4, kInk);
    svg.text(to_x(tick), y + kTop + h + 15, fmt::format("{:g}", tick), {.size = 10, .fill = kInk, .anchor = "middle"});
  }
  svg.line(x + kLeft, y + kTop + h, x + kLeft + w, y + kTop + h, kInk);
  svg.text(x + kLeft + w / 2, y + height - 4, chart.x_label, {.size = 10, .fill = kInk, .anchor = "middle"});
  svg.text(x + kLeft - 6, y + 31, chart.unit, {.size = 10, .fill = kInk, .anchor = "end"});
  double legend = x + kLeft;
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const Series& s = chart.series[i];
    for (const auto& run : thinned(s, bx, w)) {
      std::vector<std::pair<double, double>> points;
      for (const auto& [px, py] : run) points.emplace_back(to_x(px), to_y(py));
      if (points.size() == 1)
        points.emplace_back(points[0].first + 6, points[0].second);  // a single point would be invisible
      if (!points.empty()) svg.polyline(points, series_colour(i), 1.6, s.dashed);
    }
    svg.polyline({{legend, y + 28}, {legend + 18, y + 28}}, series_colour(i), 2, s.dashed);
    svg.text(legend + 23, y + 31, s.name, {.size = 10});
    legend += 23 + kCharacter * static_cast<double>(s.name.size()) + 14;
  }
}

}  // namespace tessera::rils
