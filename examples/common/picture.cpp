#include "examples/common/picture.h"

#include <png.h>

#include <algorithm>
#include <cmath>

#include "examples/common/errors.h"

namespace gradus::examples {
namespace {

std::uint8_t grey(float value) {
  return value > 0 ? static_cast<std::uint8_t>(std::min(value, 1.0f) * 255 + 0.5f) : 0;
}

using Color = std::array<std::uint8_t, 3>;

class Canvas {
 public:
  explicit Canvas(int size) {
    picture_ = {size, size, 3, {}};
    picture_.pixels.assign(static_cast<std::size_t>(size) * size * 3, 255);
  }

  void blend(int row, int column, Color color, float cover) {
    if (row < 0 || column < 0 || row >= picture_.rows || column >= picture_.columns) return;
    std::uint8_t* pixel =
        &picture_.pixels[(static_cast<std::size_t>(row) * picture_.columns + column) * 3];
    for (int i = 0; i < 3; ++i) {
      pixel[i] = static_cast<std::uint8_t>((1 - cover) * pixel[i] + cover * color[i] + 0.5f);
    }
  }

  void dot(float row, float column, float radius, Color color) {
    const int reach = static_cast<int>(radius) + 1;
    const int middle_row = static_cast<int>(row), middle_column = static_cast<int>(column);
    for (int i = middle_row - reach; i <= middle_row + reach; ++i) {
      for (int j = middle_column - reach; j <= middle_column + reach; ++j) {
        const float away = std::hypot(static_cast<float>(i) - row, static_cast<float>(j) - column);
        blend(i, j, color, 0.7f * std::clamp(radius + 0.5f - away, 0.0f, 1.0f));
      }
    }
  }

  Picture take() { return std::move(picture_); }

 private:
  Picture picture_;
};

struct Range {
  float low = -1, high = 1;
  float middle() const { return 0.5f * (low + high); }
};

// Where almost all coordinates of one axis lie: a few stray points must not squeeze all the others.
Range bulk(std::span<const float> points, std::size_t axis) {
  std::vector<float> sorted;
  for (std::size_t i = axis; i < points.size(); i += 2) {
    if (std::isfinite(points[i])) sorted.push_back(points[i]);
  }
  if (sorted.empty()) return {};
  std::sort(sorted.begin(), sorted.end());
  const std::size_t stray = sorted.size() / 400;
  return {sorted[stray], sorted[sorted.size() - 1 - stray]};
}

}  // namespace

Picture grid(std::span<const float> images, int rows, int columns, GridOptions options) {
  const int area = rows * columns;
  const int count = static_cast<int>(images.size()) / area;
  const int across = std::min(options.columns, count), down = (count + across - 1) / across;
  const int scale = options.scale, cell_rows = rows + options.padding;
  const int cell_columns = columns + options.padding;
  Picture picture{(down * cell_rows + options.padding) * scale,
                  (across * cell_columns + options.padding) * scale,
                  1,
                  {}};
  constexpr std::uint8_t gap = 64;
  picture.pixels.assign(static_cast<std::size_t>(picture.rows) * picture.columns, gap);
  for (int image = 0; image < count; ++image) {
    const int top = (image / across * cell_rows + options.padding) * scale;
    const int left = (image % across * cell_columns + options.padding) * scale;
    for (int row = 0; row < rows * scale; ++row) {
      std::uint8_t* to =
          &picture.pixels[static_cast<std::size_t>(top + row) * picture.columns + left];
      const float* from = &images[static_cast<std::size_t>(image) * area + row / scale * columns];
      for (int column = 0; column < columns * scale; ++column) *to++ = grey(from[column / scale]);
    }
  }
  return picture;
}

Picture scatter(std::span<const float> points, std::span<const std::uint8_t> labels, int size) {
  const Range x_range = bulk(points, 0), y_range = bulk(points, 1);
  const float side =
      1.08f * std::max({x_range.high - x_range.low, y_range.high - y_range.low, 1e-6f});
  const float edge = static_cast<float>(size), unit = edge / side;
  const auto across = [&](float x) { return 0.5f * edge + unit * (x - x_range.middle()); };
  const auto down = [&](float y) { return 0.5f * edge - unit * (y - y_range.middle()); };
  // Also false for NaN; points far outside could not even be cast to pixels.
  const auto near = [&](float pixel) { return pixel > -9 && pixel < edge + 9; };

  Canvas canvas(size);
  for (int i = 0; i < size; ++i) {
    if (near(across(0))) canvas.blend(i, static_cast<int>(across(0)), {200, 200, 200}, 1);
    if (near(down(0))) canvas.blend(static_cast<int>(down(0)), i, {200, 200, 200}, 1);
  }
  for (std::size_t i = 0; i < points.size() / 2; ++i) {
    const float x = across(points[2 * i]), y = down(points[2 * i + 1]);
    if (near(x) && near(y)) canvas.dot(y, x, 1.8f, label_color(labels[i]));
  }
  return canvas.take();
}

std::array<std::uint8_t, 3> label_color(int label) {
  // Ten hues told apart on white, also by most of the colour-blind.
  constexpr Color colors[10] = {{31, 119, 180}, {230, 126, 20}, {44, 160, 80},   {200, 40, 50},
                                {130, 90, 190}, {120, 75, 60},  {225, 100, 185}, {110, 110, 110},
                                {175, 175, 30}, {20, 180, 200}};
  return colors[label % 10];
}

Bytes encode_png(const Picture& picture) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.columns);
  image.height = static_cast<png_uint_32>(picture.rows);
  image.format = picture.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  const std::uint8_t* pixels = picture.pixels.data();
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  Bytes bytes(size);
  if (!png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels, 0, nullptr)) {
    const std::string why = image.message;  // libpng knows no codes
    if (why.find("memory") != std::string::npos) refuse<OutOfMemory>("png: out of memory");
    refuse<DataError>("png: cannot be encoded: ", why);
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace gradus::examples
