#include "results/sqlite.h"

#include "core/error.h"
#include "core/file.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>

namespace assay {

void SqliteTraits::close(Handle database) noexcept { sqlite3_close_v2(database); }
void StatementTraits::close(Handle statement) noexcept { sqlite3_finalize(statement); }

namespace {

constexpr std::chrono::seconds kBusyTimeout{10};

/// Without a write-ahead log nothing but the file counts (`immutable`): SQLite then needs no file
/// beside it, which a folder for reading alone would refuse.
std::string read_only_uri(const std::filesystem::path& path) {
  std::error_code none;
  const auto log = std::filesystem::file_size(path.string() + "-wal", none);
  std::string uri = "file:";
  for (const char c : std::filesystem::absolute(path).string()) {
    if (c == '?' || c == '#' || c == '%') {
      uri += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    } else {
      uri += c;
    }
  }
  return uri + (none || log == 0 ? "?immutable=1" : "?mode=ro");
}

/// Made by us, since SQLite's own files are 0644: who may use them say umask and folder, as of
/// every file of a workspace. SQLite gives the files beside it the same mode. What fails here,
/// SQLite says. Never a file that is there: closing it would drop the locks of this process's other
/// connections (https://sqlite.org/howtocorrupt.html, 2.2).
void create_empty(const std::filesystem::path& path) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
}

/// Of the database and the files beside it the first that this user may not write, else the folder.
std::filesystem::path not_writable(const std::filesystem::path& path) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    const std::string name = path.string() + suffix;
    const bool refused = ::faccessat(AT_FDCWD, name.c_str(), W_OK, AT_EACCESS) != 0;
    if (refused && std::filesystem::exists(name)) return name;
  }
  return std::filesystem::absolute(path).parent_path();
}

}  // namespace

Database::Database(const std::filesystem::path& path, Access access) : path_(path) {
  sqlite3* handle = nullptr;
  int flags = SQLITE_OPEN_NOMUTEX;
  std::string name = path.string();
  if (access == Access::kRead) {
    name = read_only_uri(path);
    flags |= SQLITE_OPEN_READONLY | SQLITE_OPEN_URI;
  } else {
    flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    create_empty(path);
  }
  const int code = sqlite3_open_v2(name.c_str(), &handle, flags, nullptr);
  handle_ = UniqueHandle<SqliteTraits>(handle);  // SQLite returns a handle even where it fails.
  check(code, "open");
  check(sqlite3_extended_result_codes(handle, 1), "extended_result_codes");
  const auto timeout = static_cast<int>(std::chrono::milliseconds(kBusyTimeout).count());
  check(sqlite3_busy_timeout(handle, timeout), "busy_timeout");
}

void Database::check(int code, std::string_view call) const {
  if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) return;
  const std::string words = handle_ ? sqlite3_errmsg(handle_.get()) : sqlite3_errstr(code);
  // To SQLite a quota is an input or output error like any other; errno tells.
  const int cause = handle_ ? sqlite3_system_errno(handle_.get()) : 0;
  const bool at_quota = (code & 0xFF) == SQLITE_IOERR && is_want_of_room(cause);
  if (at_quota || (code & 0xFF) == SQLITE_FULL) {
    throw StoreError("{}: the disk is full ({}), {} bytes are free; free some space and run again",
                     path_.string(), at_quota ? std::strerror(cause) : words,
                     free_bytes_text(path_));
  }
  switch (code & 0xFF) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      throw StoreError(
          "{}: not a readable SQLite database ({}: {}); restore a copy, or move it "
          "away and run 'assay run' again: finished jobs are found in jobs/",
          path_.string(), call, words);
    case SQLITE_BUSY:
      throw StoreError(
          "{}: another process has held the store's lock for {} s ({}); end it, or "
          "try again",
          path_.string(), kBusyTimeout.count(), words);
    case SQLITE_READONLY: {
      const std::filesystem::path refused = not_writable(path_);
      throw StoreError(
          "{}: cannot be written by this user: {}; its owner must give it to the group (chmod g+w; "
          "with umask 002 every file of a workspace is made so)",
          refused.string(), ownership_text(refused));
    }
    default: throw StoreError("{}: {} failed: {}", path_.string(), call, words);
  }
}

void Database::execute(const std::string& sql) {
  check(sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr), "execute");
}

void Database::set_journal_mode(const std::string& mode) {
  const std::string sql = "PRAGMA journal_mode = " + mode;
  const auto deadline = std::chrono::steady_clock::now() + kBusyTimeout;
  const auto attempt = [&] {
    return sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  };
  int code = attempt();
  while ((code & 0xFF) == SQLITE_BUSY && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    code = attempt();
  }
  check(code, "journal_mode");
}

Statement Database::prepare(std::string_view sql) {
  if (const auto known = idle_.find(std::string(sql)); known != idle_.end()) {
    return {*this, idle_.extract(known).mapped().release()};
  }
  sqlite3_stmt* statement = nullptr;
  check(sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &statement,
                           nullptr),
        "prepare");
  return {*this, statement};
}

std::int64_t Database::last_insert_id() const { return sqlite3_last_insert_rowid(handle_.get()); }

Statement::~Statement() {
  // Reports the failure of the last step once more, which was thrown then.
  static_cast<void>(sqlite3_reset(handle_.get()));
  sqlite3_clear_bindings(handle_.get());
  const char* sql = sqlite3_sql(handle_.get());
  database_->idle_.emplace(sql, std::move(handle_));
}

Statement& Statement::bind(int index, std::int64_t value) {
  database_->check(sqlite3_bind_int64(handle_.get(), index, value), "bind");
  return *this;
}

Statement& Statement::bind(int index, double value) {
  database_->check(sqlite3_bind_double(handle_.get(), index, value), "bind");
  return *this;
}

Statement& Statement::bind(int index, std::string_view value) {
  // A null pointer would bind NULL: an empty view may have one.
  const char* data = value.data() == nullptr ? "" : value.data();
  database_->check(sqlite3_bind_text(handle_.get(), index, data, static_cast<int>(value.size()),
                                     SQLITE_TRANSIENT),  // NOLINT: SQLite's own cast.
                   "bind");
  return *this;
}

Statement& Statement::bind_null(int index) {
  database_->check(sqlite3_bind_null(handle_.get(), index), "bind");
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(handle_.get());
  database_->check(code, "step");
  return code == SQLITE_ROW;
}

void Statement::run() {
  while (step()) {
  }
  database_->check(sqlite3_reset(handle_.get()), "reset");
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(handle_.get(), column) == SQLITE_NULL;
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(handle_.get(), column);
}

double Statement::real(int column) const { return sqlite3_column_double(handle_.get(), column); }

std::string Statement::text(int column) const {
  // Text is UTF-8 bytes in SQLite's memory, unsigned by its own convention.
  const void* data = sqlite3_column_text(handle_.get(), column);
  const int size = sqlite3_column_bytes(handle_.get(), column);
  return data == nullptr ? std::string()
                         : std::string(static_cast<const char*>(data), static_cast<size_t>(size));
}

std::optional<std::int64_t> Statement::optional_integer(int column) const {
  return is_null(column) ? std::nullopt : std::optional(integer(column));
}

std::optional<double> Statement::optional_real(int column) const {
  return is_null(column) ? std::nullopt : std::optional(real(column));
}

Transaction::Transaction(Database& database)
    : database_(database), inner_(sqlite3_get_autocommit(database.handle_.get()) == 0) {
  database_.prepare(inner_ ? "SAVEPOINT inner" : "BEGIN IMMEDIATE").run();
}

Transaction::~Transaction() {
  // A failed statement may have rolled back already: then this one fails, and nothing is lost.
  const char* sql = inner_ ? "ROLLBACK TO inner; RELEASE inner" : "ROLLBACK";
  if (open_) sqlite3_exec(database_.handle_.get(), sql, nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  database_.prepare(inner_ ? "RELEASE inner" : "COMMIT").run();
  open_ = false;
}

}  // namespace assay
