//! How a function is declared: name, parameters, result type, and how its kernel is made.
//!
//! A kernel is made once for a call whose constant arguments are known ([`Call::constants`]), so
//! regular expressions and date patterns are compiled once, and a wrong constant is an error before
//! any row is read.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::binary::comparison_coercion;
use millstream_core::{Error, Result};

use super::args::{Args, Kernel};

/// A scalar function.
pub(crate) struct Function {
    /// Flink's name, in upper case.
    pub name: &'static str,
    /// What it takes.
    pub params: Params,
    /// What it returns for an ad-hoc call; a pipeline's call says its result type itself.
    pub returns: Returns,
    /// How its kernel is made.
    pub body: Body,
}

/// The parameters of a [`Function`].
pub(crate) struct Params {
    /// The kind of each; the last repeats for further arguments if `most` allows them.
    pub kinds: &'static [Kind],
    /// Fewest arguments.
    pub least: usize,
    /// Most arguments.
    pub most: usize,
}

/// What an ad-hoc call's argument is converted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `STRING`
    Text,
    /// `BIGINT`
    Long,
    /// `DOUBLE`
    Double,
    /// `BOOLEAN`
    Boolean,
    /// Any number, as it is.
    Number,
    /// A date, time or timestamp, as it is; text is read as a timestamp.
    Time,
    /// The one type that all arguments of this kind have in common.
    Common,
    /// Anything, as it is.
    Any,
}

/// The type of an ad-hoc call's result.
#[derive(Clone, Copy)]
pub(crate) enum Returns {
    /// `STRING`
    Text,
    /// `BIGINT`
    Long,
    /// `INT`
    Int,
    /// `DOUBLE`
    Double,
    /// `BOOLEAN`
    Boolean,
    /// The type of this argument.
    Same(usize),
    /// Worked out from the arguments.
    By(fn(&[DataType]) -> Result<DataType>),
}

/// How a kernel is made.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    /// The same for each call.
    Plain(fn(&Args<'_>) -> Result<arrow::array::ArrayRef>),
    /// Made for a call.
    Prepared(fn(&Call<'_>) -> Result<Kernel>),
}

/// One call of a function, as known before any row is seen.
pub(crate) struct Call<'a> {
    /// For each argument its value, if it is constant.
    pub constants: &'a [Option<ScalarValue>],
}

/// A text argument as known before any row is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConstantText {
    /// It differs from row to row, or is not given.
    Varies,
    /// Always null.
    Null,
    /// Always this.
    Is(String),
}

impl Call<'_> {
    /// Argument `index` as constant text.
    pub fn text(&self, index: usize) -> ConstantText {
        match self.constants.get(index).and_then(Option::as_ref) {
            None => ConstantText::Varies,
            Some(value) => match value.try_as_str() {
                Some(Some(text)) => ConstantText::Is(text.to_owned()),
                _ => ConstantText::Null,
            },
        }
    }
}

impl Function {
    /// The kernel for `call`.
    ///
    /// # Errors
    /// A constant argument that no row could be computed with.
    pub fn prepare(&self, call: &Call<'_>) -> Result<Kernel> {
        match self.body {
            Body::Plain(kernel) => Ok(std::sync::Arc::new(kernel)),
            Body::Prepared(prepare) => {
                prepare(call).map_err(|error| error.context(format!("`{}`", self.name)))
            }
        }
    }

    /// Fails unless it can be called with `count` arguments.
    pub fn check_count(&self, count: usize) -> Result<()> {
        let Params { least, most, .. } = self.params;
        if (least..=most).contains(&count) {
            return Ok(());
        }
        let expected = match most {
            usize::MAX => format!("at least {least}"),
            _ if least == most => least.to_string(),
            _ => format!("{least} to {most}"),
        };
        Err(Error::invalid(format!(
            "`{}`: found {count} arguments, expected {expected}",
            self.name
        )))
    }

    /// The types that an ad-hoc call's arguments are converted to.
    pub fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.check_count(types.len())?;
        let kinds = self.params.kinds;
        let kind_of = |index: usize| kinds[index.min(kinds.len() - 1)];
        let mut common: Option<DataType> = None;
        for (index, found) in types.iter().enumerate() {
            if kind_of(index) == Kind::Common {
                common = Some(self.common_type(common, &plain(found))?);
            }
        }
        let common = common.unwrap_or(DataType::Null);
        let pairs = types.iter().enumerate();
        pairs
            .map(|(index, found)| match kind_of(index) {
                Kind::Common => Ok(common.clone()),
                kind => self.coerce_one(kind, plain(found)),
            })
            .collect()
    }

    /// The result type of an ad-hoc call whose arguments have the coerced `types`.
    pub fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match self.returns {
            Returns::Text => DataType::Utf8,
            Returns::Long => DataType::Int64,
            Returns::Int => DataType::Int32,
            Returns::Double => DataType::Float64,
            Returns::Boolean => DataType::Boolean,
            Returns::Same(index) => types[index].clone(),
            Returns::By(compute) => compute(types)?,
        })
    }

    fn common_type(&self, so_far: Option<DataType>, next: &DataType) -> Result<DataType> {
        let Some(so_far) = so_far else {
            return Ok(next.clone());
        };
        match comparison_coercion(&so_far, next) {
            Some(common) => Ok(plain(&common)),
            None => Err(self.refuse(next, &format!("a type comparable to {so_far}"))),
        }
    }

    fn coerce_one(&self, kind: Kind, found: DataType) -> Result<DataType> {
        let is_time = matches!(
            found,
            DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(_, _)
        );
        let is_number = found.is_numeric() || found.is_null();
        let is_text = matches!(found, DataType::Utf8 | DataType::Null);
        match kind {
            Kind::Text if found.is_nested() => Err(self.refuse(&found, "STRING")),
            Kind::Text => Ok(DataType::Utf8),
            Kind::Long if is_number => Ok(DataType::Int64),
            Kind::Long => Err(self.refuse(&found, "BIGINT")),
            Kind::Double if is_number => Ok(DataType::Float64),
            Kind::Double => Err(self.refuse(&found, "DOUBLE")),
            Kind::Boolean if found.is_null() || found == DataType::Boolean => Ok(DataType::Boolean),
            Kind::Boolean => Err(self.refuse(&found, "BOOLEAN")),
            Kind::Number if found.is_null() => Ok(DataType::Float64),
            Kind::Number if is_number => Ok(found),
            Kind::Number => Err(self.refuse(&found, "a number")),
            Kind::Time if is_time => Ok(found),
            Kind::Time if is_text => Ok(DataType::Timestamp(TimeUnit::Millisecond, None)),
            Kind::Time => Err(self.refuse(&found, "a date or time")),
            Kind::Any | Kind::Common => Ok(found),
        }
    }

    fn refuse(&self, found: &DataType, expected: &str) -> Error {
        Error::invalid(format!(
            "`{}`: found {found}, expected {expected}",
            self.name
        ))
    }
}

/// The type among Millstream's own that ad-hoc queries' `found` is converted to.
fn plain(found: &DataType) -> DataType {
    match found {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Date64 => DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Dictionary(_, value) => plain(value),
        other => other.clone(),
    }
}
