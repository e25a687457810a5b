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

constexpr double kLargest = 1e300;  // differences of larger figures may not be finite

struct Bounds {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void include(double v) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
  /// Gives equal bounds a width that doubles of their size can resolve.
  void widen() {
    if (low < high) return;
    const double room = std::max(1.0, std::abs(low) * 1e-3);
    high = low + room;
  }
};

bool can_be_drawn(double v) { return std::abs(v) <= kLargest; }

/// Ticks with as few digits as tell them apart: six, or more where they are close together.
std::vector<std::pair<double, std::string>> labelled_ticks(const Bounds& bounds, int most) {
  std::vector<std::pair<double, std::string>> ticks;
  for (int digits = 6; digits <= std::numeric_limits<double>::max_digits10; ++digits) {
    ticks.clear();
    for (const double tick : axis_ticks(bounds.low, bounds.high, most)) {
      ticks.emplace_back(tick, fmt::format("{:.{}g}", tick, digits));
    }
    const auto twice =
        std::ranges::adjacent_find(ticks, [](const auto& a, const auto& b) { return a.second == b.second; });
    if (twice == ticks.end()) break;
  }
  return ticks;
}

/// Averages the points in each pixel column of the plot, and splits them into runs without gaps.
std::vector<std::vector<std::pair<double, double>>> thinned(const Series& series, const Bounds& x, double columns) {
  std::vector<std::vector<std::pair<double, double>>> runs(1);
  double column = -1, mean_x = 0, mean_y = 0;
  int64_t count = 0;
  const auto flush = [&] {
    if (count > 0) runs.back().emplace_back(mean_x, mean_y);
    mean_x = mean_y = 0;
    count = 0;
  };
  for (const auto& [px, py] : series.points) {
    if (!can_be_drawn(px)) continue;
    if (!can_be_drawn(py)) {
      flush();
      if (!runs.back().empty()) runs.emplace_back();
      continue;
    }
    const double at = std::floor((px - x.low) / std::max(x.high - x.low, 1e-300) * columns);
    if (at != column) flush();
    column = at;
    ++count;
    mean_x += (px - mean_x) / static_cast<double>(count);
    mean_y += (py - mean_y) / static_cast<double>(count);
  }
  flush();
  return runs;
}

}  // namespace

std::vector<double> axis_ticks(double low, double high, int most) {
  if (!(high > low)) return {low + 0.0};  // no −0
  // Where doubles are too coarse for steps between the ends, the ends are the ticks.
  using Limits = std::numeric_limits<double>;
  const double finest = std::max(Limits::min(), 4 * Limits::epsilon() * std::max(std::abs(low), std::abs(high)));
  if (!std::isfinite(high - low) || high - low < std::max(most, 1) * finest) return {low + 0.0, high + 0.0};
  const double raw = (high - low) / std::max(most, 1);
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (const double round : {1.0, 2.0, 5.0}) {
    if (round * power >= raw) {
      step = round * power;
      break;
    }
  }
  std::vector<double> ticks;
  const double first = std::ceil(low / step - 1e-9);
  for (int i = 0; (first + i) * step <= high + 1e-9 * step; ++i) ticks.push_back((first + i) * step + 0.0);
  return ticks;
}

void draw_chart(Svg& svg, const Chart& chart, double x, double y, double width, double height) {
  Bounds bx, by;
  for (const Series& s : chart.series) {
    for (const auto& [px, py] : s.points) {
      if (!can_be_drawn(px) || !can_be_drawn(py)) continue;
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
  by.widen();
  const double w = width - kLeft - kRight, h = height - kTop - kBottom;
  const auto to_x = [&](double v) { return x + kLeft + (v - bx.low) / std::max(bx.high - bx.low, 1e-300) * w; };
  const auto to_y = [&](double v) { return y + kTop + (1 - (v - by.low) / (by.high - by.low)) * h; };
  for (const auto& [tick, label] : labelled_ticks(by, 5)) {
    svg.line(x + kLeft, to_y(tick), x + kLeft + w, to_y(tick), kGrid);
    svg.text(x + kLeft - 6, to_y(tick) + 4, label, {.size = 10, .fill = kInk, .anchor = "end"});
  }
  for (const auto& [tick, label] : labelled_ticks(bx, 6)) {
    svg.line(to_x(tick), y + kTop + h, to_x(tick), y + kTop + h + 4, kInk);
    svg.text(to_x(tick), y + kTop + h + 15, label, {.size = 10, .fill = kInk, .anchor = "middle"});
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
