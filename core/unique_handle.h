#pragma once

#include <utility>

namespace assay {

/// Sole owner of a handle of a C library, closed exactly once.
///
/// `Traits` has `Handle`, `static Handle none() noexcept` and `static void close(Handle) noexcept`.
/// A moved-from handle owns nothing.
template <typename Traits>
class UniqueHandle {
 public:
  using Handle = typename Traits::Handle;

  UniqueHandle() = default;
  explicit UniqueHandle(Handle handle) : handle_(handle) {}
  UniqueHandle(UniqueHandle&& other) noexcept
      : handle_(std::exchange(other.handle_, Traits::none())) {}
  UniqueHandle& operator=(UniqueHandle&& other) noexcept {
    if (this != &other) {
      reset();
      handle_ = std::exchange(other.handle_, Traits::none());
    }
    return *this;
  }
  UniqueHandle(const UniqueHandle&) = delete;
  UniqueHandle& operator=(const UniqueHandle&) = delete;
  ~UniqueHandle() { reset(); }

  [[nodiscard]] Handle get() const { return handle_; }
  [[nodiscard]] explicit operator bool() const { return handle_ != Traits::none(); }

  /// Gives the handle to the caller, who must close it.
  [[nodiscard]] Handle release() { return std::exchange(handle_, Traits::none()); }

  void reset() noexcept {
    if (handle_ != Traits::none()) Traits::close(std::exchange(handle_, Traits::none()));
  }

 private:
  Handle handle_ = Traits::none();
};

}  // namespace assay
