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
//! | `REGEXP(S, S pattern)` `STARTSWITH(S, S)` `ENDSWITH(S, S)` (the last two also of BYTES) | `B` |
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
//! | `FLOOR_TO(A or TIME, 'U')` `CEIL_TO(A or TIME, 'U')` (`FLOOR(x TO unit)`) | the type of `A` |
//! | `TIMESTAMPDIFF('U', T, T)` (both of one type) | INT |
//! | `TIMESTAMPADD('U', L, T)` | the type of `T` |
//! | `BTRIM(S[, S])` `OVERLAY(S, S, L[, L])` `TRANSLATE(S, S, S)` `PARSE_URL(S, S[, S])` | `S` |
//! | `ELT(L, X…)` | `X` |
//! | `SPLIT(S, S)` `REGEXP_EXTRACT_ALL(S, S[, L])` | ARRAY<STRING> |
//! | `STR_TO_MAP(S[, S, S])` | MAP<STRING, STRING> |
//! | `REGEXP_COUNT(S, S)` `REGEXP_INSTR(S, S)` | INT |
//! | `REGEXP_SUBSTR(S, S)` `SHA2(S, L)` `TO_BASE64(S)` `FROM_BASE64(S)` `HEX(S or L)` `BIN(L)` | `S` |
//! | `URL_ENCODE(S)` `URL_DECODE(S)` `DECODE(BYTES, S)` | `S` |
//! | `ENCODE(S, S)` `UNHEX(S)` | BYTES |
//! | `SIMILAR_TO(S, S[, 'escape'])` (`x SIMILAR TO y`) | `B` |
//! | `LIKE_PATTERN(S, 'escape')`, a pattern of LIKE that is not constant | `S` |
//! | `PRINTF(S, any…)` `CONVERT_TZ(S, S zone, S zone)` | `S` |
//! | `TEXT_TO_TIMESTAMP_LTZ(S[, S format[, S zone]])` (`TO_TIMESTAMP_LTZ` of text) | TIMESTAMP_LTZ(3) |
//! | `OVERLAPS(T, T or INTERVAL, T, T or INTERVAL)`, also of TIME and DATE | `B` |
//! | `SIN(D)` and its like, `ATAN2(D, D)` `PI()` `E()` | `D` |
//! | `TO_DATE(S[, S format])` | DATE |
//! | `UNIX_TIMESTAMP(S[, S format])` | `L` |
//! | `IS_JSON(S, 'kind')` `JSON_EXISTS(S, 'path', 'onError')` | `B` |
//! | `JSON_VALUE(S, 'path', 'onEmpty', 'onError', X, X)` | `X`: STRING, BOOLEAN, INT or DOUBLE |
//! | `JSON_QUERY(S, 'path', 'wrapper', 'onEmpty', 'onError')` | `S` or ARRAY<STRING> |
//! | `JSON(S)` in JSON_OBJECT and JSON_ARRAY, `JSON_OBJECTAGG(ARRAY<ROW<S, S>>, 'n' or 'a')` | `S` |
//! | `JSON_OBJECT('flags', 'key', any, …)` `JSON_ARRAY('flags', any…)` `JSON_STRING(any)` | `S` |
//! | `JSON_QUOTE(S)` `JSON_UNQUOTE(S)` | `S` |
//! | `JSON_LENGTH(S[, 'path'])` | INT |
//! | `ARRAY(X…)` `MAP(X key, Y value, …)` `ROW(any…)` | ARRAY<X>, MAP<X, Y>, ROW |
//! | `ARRAY_APPEND(ARRAY<X>, X)` `ARRAY_UNION(ARRAY<X>, ARRAY<X>)` and their like | ARRAY<X> |
//! | `ARRAY_CONTAINS(ARRAY<X>, X)` `ARRAY_POSITION(ARRAY<X>, X)` | `B`, INT |
//! | `ARRAY_MAX(ARRAY<X>)` `ARRAY_MIN(ARRAY<X>)` `ELEMENT(ARRAY<X>)` `SINGLE_VALUE(ARRAY<X>)` | `X` |
//! | `ARRAY_JOIN(ARRAY<STRING>, S[, S])` | `S` |
//! | `MAP_KEYS(MAP<X, Y>)` `MAP_VALUES(MAP<X, Y>)` `MAP_FROM_ARRAYS(ARRAY<X>, ARRAY<Y>)` | ARRAY<X>, ARRAY<Y>, MAP<X, Y> |
//! | `MAP_ENTRIES(MAP<X, Y>)` `MAP_UNION(MAP<X, Y>…)` | ARRAY<ROW<key X, value Y>>, MAP<X, Y> |
//! | `CARDINALITY(array or map)` | INT |
//! | `ITEM(ARRAY<X>, L index from 1)` `ITEM(MAP<K, X>, K)` (`a[1]`, `m['k']`) | `X` |
//!
//! | `PROCTIME()` `NOW()` and their like, `RAND()` `UUID()` `CURRENT_WATERMARK(T)` (see [`millstream_core::surroundings`]) | the type of the expression |
//!
//! Bound to other expressions, never to a call: `IF`, `NULLIF` and simple CASE (to CASE), `MOD` (to
//! `%`), `IS TRUE` and its like, BETWEEN. Arithmetic on DECIMAL: both operands have one DECIMAL
//! type, the expression's own type is the one that Flink derives (so the result may need a
//! conversion of scale). A timestamp plus or minus an interval is a `Binary` of the timestamp's type.

use arrow::datatypes::DataType;
use millstream_core::expr::{Expr, ExprKind, Literal};
use millstream_core::types::{array, map, sql_name, timestamp, timestamp_ltz};

use crate::diagnostic::{Fault, Place, Result};
use crate::expr::constants;
use crate::types::{common_type, convert, is_integer, is_number, is_timestamp, round_type};

/// How a function is called.
pub(crate) struct Signature {
    /// Its name in plans.
    pub name: &'static str,
    /// What it takes; the last repeats for further arguments.
    params: &'static [Param],
    /// Fewest and most arguments.
    count: (usize, usize),
    /// What it returns.
    returns: Returns,
}

/// What a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Param {
    /// STRING
    Text,
    /// An integer, as BIGINT
    Long,
    /// A number, as DOUBLE
    Double,
    /// A number, as it is
    Number,
    /// TIMESTAMP or TIMESTAMP_LTZ
    Timestamp,
    /// DATE, TIMESTAMP or TIMESTAMP_LTZ
    Date,
    /// TIME, TIMESTAMP or TIMESTAMP_LTZ
    Clock,
    /// Whatever the other arguments of this kind convert to
    Common,
    /// ARRAY or MAP
    Collection,
    /// BYTES
    Bytes,
    /// STRING, or an integer as BIGINT
    TextOrLong,
    /// Anything but an interval
    Any,
}

/// What a function returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Returns {
    Text,
    Int,
    Long,
    Double,
    Boolean,
    /// The type of the first argument
    Same,
    /// The type of the first argument without digits after the point
    Whole,
    /// The type of the first argument rounded to the second
    Rounded,
    Timestamp,
    TimestampLtz,
    Date,
    Bytes,
    /// ARRAY<STRING>
    Texts,
    /// MAP<STRING, STRING>
    TextMap,
    /// The type of the second argument
    Second,
}

const MANY: usize = usize::MAX;

const fn signature(
    name: &'static str,
    params: &'static [Param],
    count: (usize, usize),
    returns: Returns,
) -> Signature {
    Signature {
        name,
        params,
        count,
        returns,
    }
}

/// Every function that is bound by its signature alone.
const SIGNATURES: &[Signature] = {
    use Param::{
        Any, Bytes, Clock, Collection, Common, Date, Double, Long, Number, Text, TextOrLong,
    };
    use Returns as R;
    &[
        signature("UPPER", &[Text], (1, 1), R::Text),
        signature("LOWER", &[Text], (1, 1), R::Text),
        signature("INITCAP", &[Text], (1, 1), R::Text),
        signature("REVERSE", &[Text], (1, 1), R::Text),
        signature("TRIM", &[Text], (1, 2), R::Text),
        signature("LTRIM", &[Text], (1, 2), R::Text),
        signature("RTRIM", &[Text], (1, 2), R::Text),
        signature("LPAD", &[Text, Long, Text], (3, 3), R::Text),
        signature("RPAD", &[Text, Long, Text], (3, 3), R::Text),
        signature("REPEAT", &[Text, Long], (2, 2), R::Text),
        signature("REPLACE", &[Text], (3, 3), R::Text),
        signature("CONCAT", &[Text], (1, MANY), R::Text),
        signature("CONCAT_WS", &[Text], (1, MANY), R::Text),
        signature("SUBSTRING", &[Text, Long], (2, 3), R::Text),
        signature("LEFT", &[Text, Long], (2, 2), R::Text),
        signature("RIGHT", &[Text, Long], (2, 2), R::Text),
        signature("SPLIT_INDEX", &[Text, Text, Long], (3, 3), R::Text),
        signature("CHR", &[Long], (1, 1), R::Text),
        signature("REGEXP_EXTRACT", &[Text, Text, Long], (2, 3), R::Text),
        signature("REGEXP_REPLACE", &[Text], (3, 3), R::Text),
        signature("MD5", &[Text], (1, 1), R::Text),
        signature("SHA1", &[Text], (1, 1), R::Text),
        signature("SHA224", &[Text], (1, 1), R::Text),
        signature("SHA256", &[Text], (1, 1), R::Text),
        signature("SHA384", &[Text], (1, 1), R::Text),
        signature("SHA512", &[Text], (1, 1), R::Text),
        signature("CHAR_LENGTH", &[Text], (1, 1), R::Int),
        signature("ASCII", &[Text], (1, 1), R::Int),
        signature("LOCATE", &[Text, Text, Long], (2, 3), R::Int),
        signature("REGEXP", &[Text], (2, 2), R::Boolean),
        signature("STARTSWITH", &[Text], (2, 2), R::Boolean),
        signature("ENDSWITH", &[Text], (2, 2), R::Boolean),
        signature("IS_ALPHA", &[Text], (1, 1), R::Boolean),
        signature("IS_DIGIT", &[Text], (1, 1), R::Boolean),
        signature("IS_DECIMAL", &[Text], (1, 1), R::Boolean),
        signature("ABS", &[Number], (1, 1), R::Same),
        signature("SIGN", &[Number], (1, 1), R::Same),
        signature("FLOOR", &[Number], (1, 1), R::Whole),
        signature("CEIL", &[Number], (1, 1), R::Whole),
        signature("ROUND", &[Number, Long], (1, 2), R::Rounded),
        signature("TRUNCATE", &[Number, Long], (1, 2), R::Rounded),
        signature("SQRT", &[Double], (1, 1), R::Double),
        signature("EXP", &[Double], (1, 1), R::Double),
        signature("LN", &[Double], (1, 1), R::Double),
        signature("LOG10", &[Double], (1, 1), R::Double),
        signature("LOG2", &[Double], (1, 1), R::Double),
        signature("LOG", &[Double], (1, 2), R::Double),
        signature("POWER", &[Double], (2, 2), R::Double),
        signature("COALESCE", &[Common], (1, MANY), R::Same),
        signature("GREATEST", &[Common], (1, MANY), R::Same),
        signature("LEAST", &[Common], (1, MANY), R::Same),
        signature("TO_TIMESTAMP_LTZ", &[Long], (2, 2), R::TimestampLtz),
        signature("TO_TIMESTAMP", &[Text], (1, 2), R::Timestamp),
        signature("DATE_FORMAT", &[Param::Timestamp, Text], (2, 2), R::Text),
        signature("FROM_UNIXTIME", &[Long, Text], (1, 2), R::Text),
        signature("YEAR", &[Date], (1, 1), R::Long),
        signature("QUARTER", &[Date], (1, 1), R::Long),
        signature("MONTH", &[Date], (1, 1), R::Long),
        signature("WEEK", &[Date], (1, 1), R::Long),
        signature("DAYOFMONTH", &[Date], (1, 1), R::Long),
        signature("DAYOFWEEK", &[Date], (1, 1), R::Long),
        signature("DAYOFYEAR", &[Date], (1, 1), R::Long),
        signature("HOUR", &[Clock], (1, 1), R::Long),
        signature("MINUTE", &[Clock], (1, 1), R::Long),
        signature("SECOND", &[Clock], (1, 1), R::Long),
        signature("BTRIM", &[Text], (1, 2), R::Text),
        signature("OVERLAY", &[Text, Text, Long], (3, 4), R::Text),
        signature("TRANSLATE", &[Text], (3, 3), R::Text),
        signature("ELT", &[Long, Common], (2, MANY), R::Second),
        signature("SPLIT", &[Text], (2, 2), R::Texts),
        signature("STR_TO_MAP", &[Text], (1, 3), R::TextMap),
        signature("PARSE_URL", &[Text], (2, 3), R::Text),
        signature("TO_BASE64", &[Text], (1, 1), R::Text),
        signature("FROM_BASE64", &[Text], (1, 1), R::Text),
        signature("ENCODE", &[Text], (2, 2), R::Bytes),
        signature("DECODE", &[Bytes, Text], (2, 2), R::Text),
        signature("HEX", &[TextOrLong], (1, 1), R::Text),
        signature("UNHEX", &[Text], (1, 1), R::Bytes),
        signature("BIN", &[Long], (1, 1), R::Text),
        signature("URL_ENCODE", &[Text], (1, 1), R::Text),
        signature("URL_DECODE", &[Text], (1, 1), R::Text),
        signature("REGEXP_COUNT", &[Text], (2, 2), R::Int),
        signature("REGEXP_INSTR", &[Text], (2, 2), R::Int),
        signature("REGEXP_SUBSTR", &[Text], (2, 2), R::Text),
        signature("REGEXP_EXTRACT_ALL", &[Text, Text, Long], (2, 3), R::Texts),
        signature("SIMILAR_TO", &[Text], (2, 3), R::Boolean),
        signature("PRINTF", &[Text, Any], (1, MANY), R::Text),
        signature("CONVERT_TZ", &[Text], (3, 3), R::Text),
        signature("TEXT_TO_TIMESTAMP_LTZ", &[Text], (1, 3), R::TimestampLtz),
        signature("SHA2", &[Text, Long], (2, 2), R::Text),
        signature("SIN", &[Double], (1, 1), R::Double),
        signature("COS", &[Double], (1, 1), R::Double),
        signature("TAN", &[Double], (1, 1), R::Double),
        signature("COT", &[Double], (1, 1), R::Double),
        signature("ASIN", &[Double], (1, 1), R::Double),
        signature("ACOS", &[Double], (1, 1), R::Double),
        signature("ATAN", &[Double], (1, 1), R::Double),
        signature("ATAN2", &[Double], (2, 2), R::Double),
        signature("SINH", &[Double], (1, 1), R::Double),
        signature("COSH", &[Double], (1, 1), R::Double),
        signature("TANH", &[Double], (1, 1), R::Double),
        signature("DEGREES", &[Double], (1, 1), R::Double),
        signature("RADIANS", &[Double], (1, 1), R::Double),
        signature("PI", &[Double], (0, 0), R::Double),
        signature("E", &[Double], (0, 0), R::Double),
        signature("TO_DATE", &[Text], (1, 2), R::Date),
        signature("UNIX_TIMESTAMP", &[Text], (1, 2), R::Long),
        signature("JSON_STRING", &[Any], (1, 1), R::Text),
        signature("JSON_QUOTE", &[Text], (1, 1), R::Text),
        signature("JSON_UNQUOTE", &[Text], (1, 1), R::Text),
        signature("JSON_LENGTH", &[Text], (1, 2), R::Int),
        signature("CARDINALITY", &[Collection], (1, 1), R::Int),
    ]
};

/// Other names of functions.
const ALIASES: &[(&str, &str)] = &[
    ("SUBSTR", "SUBSTRING"),
    ("CHARACTER_LENGTH", "CHAR_LENGTH"),
    ("CEILING", "CEIL"),
    ("IFNULL", "COALESCE"),
];

/// Functions that are bound by hand.
pub(crate) const SPECIAL: &[&str] = &[
    "IF",
    "NULLIF",
    "MOD",
    "POSITION",
    "INSTR",
    "EXTRACT",
    "TIMESTAMPDIFF",
    "TIMESTAMPADD",
    "GROUPING",
    "GROUPING_ID",
    "TYPEOF",
    "JSON_EXISTS",
    "JSON_VALUE",
    "JSON_QUERY",
    "JSON_OBJECT",
    "JSON_ARRAY",
    "JSON",
    "CAST",
    "TRY_CAST",
];

/// Flink's functions that are not there yet.
const LATER: &[&str] = &[
    "ROW_NUMBER",
    "RANK",
    "DENSE_RANK",
    "PERCENT_RANK",
    "CUME_DIST",
    "NTILE",
    "LAG",
    "LEAD",
    "NTH_VALUE",
    "ARRAY",
    "MAP",
    "TUMBLE_START",
    "TUMBLE_END",
    "HOP_START",
    "HOP_END",
    "SESSION_START",
    "SESSION_END",
    "TUMBLE_ROWTIME",
    "HOP_ROWTIME",
    "SESSION_ROWTIME",
    "TUMBLE_PROCTIME",
    "HOP_PROCTIME",
    "SESSION_PROCTIME",
    "GROUP_ID",
    "CURRENT_DATABASE",
    "PARSE_JSON",
    "TRY_PARSE_JSON",
    "OBJECT_OF",
    "OBJECT_UPDATE",
];

/// Why a function of [`LATER`] is not there, or what takes its place.
fn reason(name: &str) -> Option<&'static str> {
    Some(match name {
        "PARSE_JSON" | "TRY_PARSE_JSON" => {
            "there is no type VARIANT: keep JSON as text and use JSON_VALUE or JSON_QUERY"
        }
        "OBJECT_OF" | "OBJECT_UPDATE" => "there are no types of classes: use ROW(…)",
        "CURRENT_DATABASE" => "there are no catalogs and databases",
        "GROUP_ID" => "use GROUPING_ID(…)",
        _ => return None,
    })
}

/// The signature of the function called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Signature> {
    let name = name.to_uppercase();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let name = alias.map_or(name.as_str(), |(_, name)| name);
    SIGNATURES.iter().find(|signature| signature.name == name)
}

/// Whether `name` (in upper case) is one of Flink's functions, there or not.
pub(crate) fn is_known(name: &str) -> bool {
    let looking = crate::expr::surroundings::NAMES;
    let lists = [SPECIAL, looking, LATER, crate::expr::collection::NAMES];
    find(name).is_some()
        || crate::expr::aggregate::is_aggregate(name)
        || crate::expr::composite::NAMES.contains(&name)
        || lists.iter().any(|list| list.contains(&name))
        || matches!(name, "TUMBLE" | "HOP" | "SESSION" | "CUMULATE")
}

/// Why there is no function called `name`; `made` are those of the script.
pub(crate) fn unknown(name: &str, made: &[String], place: Place) -> Fault {
    let upper = name.to_uppercase();
    if let "TUMBLE" | "HOP" | "SESSION" | "CUMULATE" = upper.as_str() {
        let fault = Fault::unsupported(place, format!("`{upper}` outside of FROM is"));
        return fault.help("read TABLE(TUMBLE(…)) and group by window_start and window_end");
    }
    if LATER.contains(&upper.as_str()) {
        let fault = Fault::unsupported(place, format!("function `{upper}` is"));
        return match reason(&upper) {
            Some(reason) => fault.help(reason),
            None => fault,
        };
    }
    let names = SIGNATURES.iter().map(|signature| signature.name);
    let names = names.chain(ALIASES.iter().map(|(alias, _)| *alias));
    let aggregates = crate::expr::aggregate::NAMES.iter().map(|(name, _)| *name);
    let names = names
        .chain(aggregates)
        .chain(crate::expr::composite::NAMES.iter().copied())
        .chain(made.iter().map(String::as_str));
    let looking = crate::expr::surroundings::NAMES.iter().copied();
    let known: Vec<&str> = names
        .chain(SPECIAL.iter().copied())
        .chain(looking)
        .collect();
    let fault = Fault::at(place, format!("unknown function `{name}`"));
    match crate::diagnostic::nearest(name, &known) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => fault,
    }
}

/// An argument and where it stands.
pub(crate) struct Argument {
    /// As bound.
    pub expr: Expr,
    /// Where it begins.
    pub place: Place,
}

impl Signature {
    /// The call with `args`, each converted to what the function takes.
    pub fn call(&self, place: Place, args: Vec<Argument>) -> Result<Expr> {
        check_count(self.name, place, args.len(), self.count)?;
        constants::check(self.name, &args)?;
        let common = self.common_type(&args)?;
        let mut converted = Vec::with_capacity(args.len());
        for (index, arg) in args.into_iter().enumerate() {
            converted.push(self.convert(index, arg, &common)?);
        }
        let data_type = self.result_type(&converted);
        Ok(Expr::call(self.name, converted, data_type))
    }

    fn param(&self, index: usize) -> Param {
        self.params[index.min(self.params.len() - 1)]
    }

    fn common_type(&self, args: &[Argument]) -> Result<DataType> {
        let mut common = DataType::Null;
        for (index, arg) in args.iter().enumerate() {
            if self.param(index) != Param::Common {
                continue;
            }
            let found = &arg.expr.data_type;
            common = common_type(&common, found).ok_or_else(|| {
                let (common, found) = (sql_name(&common), sql_name(found));
                let message = format!(
                    "`{}`: found {found} after {common}, expected one type for all",
                    self.name
                );
                Fault::at(arg.place, message)
            })?;
        }
        Ok(common)
    }

    fn convert(&self, index: usize, arg: Argument, common: &DataType) -> Result<Expr> {
        let Argument { expr, place } = arg;
        let found = &expr.data_type;
        let is_null = *found == DataType::Null;
        let (fits, wanted, expected) = match self.param(index) {
            Param::Text => (*found == DataType::Utf8, DataType::Utf8, "STRING"),
            Param::Long => (is_integer(found), DataType::Int64, "BIGINT"),
            Param::Double => (is_number(found), DataType::Float64, "DOUBLE"),
            Param::Number if is_null => (true, DataType::Float64, ""),
            Param::Number => (is_number(found), found.clone(), "a number"),
            Param::Timestamp if is_null => (true, timestamp(3), ""),
            Param::Timestamp => (is_timestamp(found), found.clone(), "a timestamp"),
            Param::Date | Param::Clock if is_null => (true, timestamp(3), ""),
            Param::Date => {
                let fits = is_timestamp(found) || *found == DataType::Date32;
                (fits, found.clone(), "a date or a timestamp")
            }
            Param::Clock => {
                let fits = is_timestamp(found) || matches!(found, DataType::Time32(_));
                (fits, found.clone(), "a time or a timestamp")
            }
            Param::Common => (true, common.clone(), ""),
            Param::Bytes => (*found == DataType::Binary, DataType::Binary, "BYTES"),
            Param::TextOrLong if is_integer(found) => (true, DataType::Int64, ""),
            Param::TextOrLong => (*found == DataType::Utf8, DataType::Utf8, "STRING or BIGINT"),
            Param::Any if is_null => (true, DataType::Utf8, ""),
            Param::Any => {
                let fits = !matches!(found, DataType::Duration(_));
                (fits, found.clone(), "anything but an interval")
            }
            Param::Collection if is_null => (true, array(DataType::Utf8), ""),
            Param::Collection => {
                let fits = matches!(found, DataType::List(_) | DataType::Map(..));
                (fits, found.clone(), "ARRAY or MAP")
            }
        };
        if fits || is_null {
            return Ok(convert(expr, &wanted));
        }
        let found = sql_name(found);
        let message = format!(
            "argument {} of `{}`: found {found}, expected {expected}",
            index + 1,
            self.name
        );
        let fault = Fault::at(place, message);
        Err(match expected {
            "STRING" | "BIGINT" => fault.help(format!("write CAST(… AS {expected})")),
            _ => fault,
        })
    }

    fn result_type(&self, args: &[Expr]) -> DataType {
        match self.returns {
            Returns::Text => DataType::Utf8,
            Returns::Int => DataType::Int32,
            Returns::Long => DataType::Int64,
            Returns::Double => DataType::Float64,
            Returns::Boolean => DataType::Boolean,
            Returns::Same => args[0].data_type.clone(),
            Returns::Whole => match &args[0].data_type {
                DataType::Decimal128(precision, _) => DataType::Decimal128(*precision, 0),
                other => other.clone(),
            },
            Returns::Rounded => {
                let digits = match args.get(1).map(|digits| &digits.kind) {
                    None => Some(0),
                    Some(ExprKind::Literal(Literal::Int(digits))) => Some(*digits),
                    Some(_) => None,
                };
                round_type(&args[0].data_type, digits)
            }
            Returns::Timestamp => timestamp(3),
            Returns::TimestampLtz => timestamp_ltz(3),
            Returns::Date => DataType::Date32,
            Returns::Bytes => DataType::Binary,
            Returns::Texts => array(DataType::Utf8),
            Returns::TextMap => map(DataType::Utf8, DataType::Utf8),
            Returns::Second => args[1].data_type.clone(),
        }
    }
}

/// Fails unless `found` is in the range of `expected`.
pub(crate) fn check_count(
    name: &str,
    place: Place,
    found: usize,
    (least, most): (usize, usize),
) -> Result<()> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    let expected = match most {
        MANY => format!("at least {least}"),
        _ if least == most => least.to_string(),
        _ => format!("{least} to {most}"),
    };
    let message = format!("`{name}`: found {found} arguments, expected {expected}");
    Err(Fault::at(place, message))
}
