#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace assay {

/// What went wrong, in the words a user reads: *where: what is wrong, what was expected; what to
/// do*. The type says who can act; only a program's `main` turns it into an exit code.
class Error : public std::runtime_error {
 public:
  template <typename... Args>
  explicit Error(fmt::format_string<Args...> format, Args&&... args)
      : std::runtime_error(fmt::format(format, std::forward<Args>(args)...)) {}
};

/// The author of the study or of the command line can mend it: exit code 2.
class ConfigError : public Error {
 public:
  using Error::Error;
};

/// Who keeps the files (images, masks, weights, features) can mend it: exit code 2.
class DataError : public Error {
 public:
  using Error::Error;
};

/// A rank or the network between ranks failed: the gang ends, its job is tried again.
class CommError : public Error {
 public:
  using Error::Error;
};

/// The result store cannot be used as it is.
class StoreError : public Error {
 public:
  using Error::Error;
};

/// A job failed for a reason of its own (NaN loss, a checkpoint that does not fit): the job fails
/// on every rank alike, the gang lives.
class JobError : public Error {
 public:
  using Error::Error;
};

/// The workspace is held by another coordinator: exit code 75, try again.
class BusyError : public Error {
 public:
  using Error::Error;
};

}  // namespace assay
