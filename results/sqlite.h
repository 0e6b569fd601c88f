#pragma once

#include "core/unique_handle.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

struct sqlite3;
struct sqlite3_stmt;

namespace assay {

struct SqliteTraits {
  using Handle = sqlite3*;
  static Handle none() noexcept { return nullptr; }
  static void close(Handle database) noexcept;
};

struct StatementTraits {
  using Handle = sqlite3_stmt*;
  static Handle none() noexcept { return nullptr; }
  static void close(Handle statement) noexcept;
};

class Statement;

enum class Access { kWrite, kRead };

/// An open SQLite file. Every call throws StoreError, naming file, call and SQLite's own words,
/// where it fails; a lock that another process holds is waited for 10 s.
///
/// Used by one thread at a time.
class Database {
 public:
  /// Opens `path`, creating an empty database where there is none. For reading it must be there,
  /// and its folder need not be writable.
  explicit Database(const std::filesystem::path& path, Access access = Access::kWrite);

  /// Runs SQL without parameters: one statement or many. Never text from outside.
  void execute(const std::string& sql);
  /// `mode` as SQLite names it: WAL, DELETE. Waits for other connections, too: SQLite itself gives
  /// up at once here, since it would wait for a lock while it holds another.
  void set_journal_mode(const std::string& mode);
  /// Compiles one statement, once: it is kept when its user is done with it. Values come in by
  /// `Statement::bind` alone.
  [[nodiscard]] Statement prepare(std::string_view sql);
  [[nodiscard]] std::int64_t last_insert_id() const;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  friend class Statement;
  friend class Transaction;
  void check(int code, std::string_view call) const;

  std::filesystem::path path_;
  UniqueHandle<SqliteTraits> handle_;
  // Compiled and not in use, by their SQL.
  std::unordered_multimap<std::string, UniqueHandle<StatementTraits>> idle_;
};

/// A compiled statement, which must not outlive its database. Parameters and columns count from 1
/// and 0, as SQLite's do.
class Statement {
 public:
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(int index, std::int64_t value);
  Statement& bind(int index, double value);
  Statement& bind(int index, std::string_view value);
  Statement& bind_null(int index);
  template <typename T>
  Statement& bind(int index, const std::optional<T>& value) {
    return value ? bind(index, *value) : bind_null(index);
  }

  /// Advances to the next row; false where there is none.
  [[nodiscard]] bool step();
  /// Runs to the end and makes the statement ready to be bound again.
  void run();

  [[nodiscard]] bool is_null(int column) const;
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] double real(int column) const;
  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] std::optional<std::int64_t> optional_integer(int column) const;
  [[nodiscard]] std::optional<double> optional_real(int column) const;

 private:
  friend class Database;
  Statement(Database& database, sqlite3_stmt* handle) : database_(&database), handle_(handle) {}

  Database* database_;
  UniqueHandle<StatementTraits> handle_;
};

/// All or nothing: rolls back unless `commit` was reached. Takes the write lock at once, so that
/// nothing fails half-way for another writer's sake. Within another one it is a part of that, which
/// can fail alone.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  void commit();

 private:
  Database& database_;
  bool inner_, open_ = true;
};

}  // namespace assay
