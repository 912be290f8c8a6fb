//! Flink's scalar functions: the calls that a plan can hold, and how they are bound.
//!
//! A call is `ExprKind::Call { function, args }`. The table below is the contract with whoever
//! evaluates it: arguments arrive with exactly these types (conversions are explicit casts around
//! them), and the result has the type of the expression. `S` is STRING, `L` BIGINT, `D` DOUBLE, `B`
//! BOOLEAN; `N` any number; `T` TIMESTAMP(p) or TIMESTAMP_LTZ(p); `A` a DATE or a `T`; `X` any type,
//! the same for all `X` of a call; `'U'` a constant STRING, one of YEAR, QUARTER, MONTH, WEEK, DAY,
//! HOUR, MINUTE, SECOND; `[…]` may be absent, `…` may repeat.
//!
//! | call | result |
//! |---|---|
//! | `UPPER(S)` `LOWER(S)` `INITCAP(S)` `REVERSE(S)` | `S` |
//! | `TRIM(S[, S characters])` `LTRIM(S[, S])` `RTRIM(S[, S])` | `S` |
//! | `LPAD(S, L, S)` `RPAD(S, L, S)` `REPEAT(S, L)` `REPLACE(S, S, S)` | `S` |
//! | `CONCAT(S…)` (also `\|\|`) `CONCAT_WS(S separator, S…)` | `S` |
//! | `SUBSTRING(S, L from[, L length])` `LEFT(S, L)` `RIGHT(S, L)` | `S` |
//! | `SPLIT_INDEX(S, S delimiter, L index)` `CHR(L)` | `S` |
//! | `REGEXP_EXTRACT(S, S pattern[, L group])` `REGEXP_REPLACE(S, S, S)` | `S` |
//! | `MD5(S)` `SHA1(S)` `SHA224(S)` `SHA256(S)` `SHA384(S)` `SHA512(S)` | `S` |
//! | `CHAR_LENGTH(S)` `ASCII(S)` | INT |
//! | `LOCATE(S part, S whole[, L from])` (also `POSITION(part IN whole)`, `INSTR(whole, part)`) | INT |
//! | `REGEXP(S, S pattern)` `STARTSWITH(S, S)` `ENDSWITH(S, S)` | `B` |
//! | `IS_ALPHA(S)` `IS_DIGIT(S)` `IS_DECIMAL(S)` | `B` |
//! | `ABS(N)` `SIGN(N)` `FLOOR(N)` `CEIL(N)` | the type of `N`; FLOOR and CEIL of DECIMAL(p, s): DECIMAL(p, 0) |
//! | `ROUND(N[, L digits])` `TRUNCATE(N[, L digits])` | the type of `N`; of DECIMAL with constant digits as in Flink |
//! | `SQRT(D)` `EXP(D)` `LN(D)` `LOG10(D)` `LOG2(D)` `LOG([D base, ]D)` `POWER(D, D)` | `D` |
//! | `COALESCE(X…)` (also `IFNULL`) `GREATEST(X…)` `LEAST(X…)` | `X` |
//! | `TO_TIMESTAMP_LTZ(L, L precision: constant 0 or 3)` | TIMESTAMP_LTZ(3) |
//! | `TO_TIMESTAMP(S[, S format])` | TIMESTAMP(3) |
//! | `DATE_FORMAT(T, S format)` `FROM_UNIXTIME(L seconds[, S format])` | `S` |
//! | `YEAR(A)` `QUARTER(A)` `MONTH(A)` `WEEK(A)` `DAYOFMONTH(A)` `DAYOFWEEK(A)` `DAYOFYEAR(A)` (also `EXTRACT`) | `L` |
//! | `HOUR(T or TIME)` `MINUTE(T or TIME)` `SECOND(T or TIME)` (also `EXTRACT`) | `L` |
//! | `FLOOR_TO(A, 'U')` `CEIL_TO(A, 'U')` (`FLOOR(x TO unit)`) | the type of `A` |
//! | `TIMESTAMPDIFF('U', T, T)` (both of one type) | INT |
//! | `TIMESTAMPADD('U', L, T)` | the type of `T` |
//! | `CARDINALITY(array or map)` | INT |
//! | `ITEM(ARRAY<X>, L index from 1)` `ITEM(MAP<K, X>, K)` (`a[1]`, `m['k']`) | `X` |
//!
//! Bound to other expressions, never to a call: `IF`, `NULLIF` and simple CASE (to CASE), `MOD` (to
//! `%`), `IS TRUE` and its like, BETWEEN. Arithmetic on DECIMAL: both operands have one DECIMAL
//! type, the expression's own type is the one that Flink derives (so the result may need a
//! conversion of scale). A timestamp plus or minus an interval is a `Binary` of the timestamp's type.
