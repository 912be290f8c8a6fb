//! Functions that users write in Rust: [`ScalarFunction`], [`AggregateFunction`], and [`Functions`],
//! those that a script may call.
//!
//! SQL asks a function for the type of its result; the plan then carries the function itself to the
//! engine. A function is known by its name in plans and checkpoints, so one that computes something
//! else needs another name, or state that was written before is read by the wrong function.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use crate::error::Result;

/// A function from the values of a row to a value. The same arguments must always give the same
/// value: after a failure rows are computed again.
///
/// ```
/// use std::sync::Arc;
///
/// use arrow::array::{ArrayRef, AsArray, StringArray};
/// use arrow::datatypes::DataType;
/// use millstream_core::function::ScalarFunction;
/// use millstream_core::Result;
///
/// struct Initial;
///
/// impl ScalarFunction for Initial {
///     fn parameters(&self) -> Option<Vec<DataType>> {
///         Some(vec![DataType::Utf8])
///     }
///
///     fn return_type(&self, _: &[DataType]) -> Result<DataType> {
///         Ok(DataType::Utf8)
///     }
///
///     fn call(&self, arguments: &[ArrayRef], _rows: usize) -> Result<ArrayRef> {
///         let texts = arguments[0].as_string::<i32>().iter();
///         let initials = texts.map(|text| text.map(|text| &text[..text.len().min(1)]));
///         Ok(Arc::new(initials.collect::<StringArray>()))
///     }
/// }
///
/// let names: ArrayRef = Arc::new(StringArray::from(vec![Some("Ada"), None]));
/// let initials = Initial.call(&[names], 2).unwrap();
/// assert_eq!(initials.as_string::<i32>(), &StringArray::from(vec![Some("A"), None]));
/// ```
pub trait ScalarFunction: Send + Sync {
    /// The types that it takes, if they are always the same: SQL then counts the arguments and
    /// converts them as INSERT INTO does. With `None` arguments come as they are.
    fn parameters(&self) -> Option<Vec<DataType>> {
        None
    }

    /// The type of the result for arguments of these types. `InvalidInput` says what was expected.
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType>;

    /// The values for `rows` rows: `arguments` are columns of as many values, and so is the result.
    /// `InvalidInput` for a value that it cannot compute with stops the pipeline.
    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef>;
}

/// A function from the values of a group of rows to a value. The order of the rows must not matter:
/// groups are computed in parts that are merged.
///
/// ```
/// use std::sync::Arc;
///
/// use arrow::array::{ArrayRef, AsArray, Int64Array};
/// use arrow::datatypes::{DataType, Int64Type};
/// use millstream_core::function::{AggregateFunction, GroupState};
/// use millstream_core::{Error, Result};
///
/// /// The greatest common divisor.
/// struct Divisor;
///
/// impl AggregateFunction for Divisor {
///     fn parameter(&self) -> Option<DataType> {
///         Some(DataType::Int64)
///     }
///
///     fn return_type(&self, _: &DataType) -> Result<DataType> {
///         Ok(DataType::Int64)
///     }
///
///     fn group(&self, _: &DataType) -> Box<dyn GroupState> {
///         Box::new(Common(0))
///     }
/// }
///
/// struct Common(i64);
///
/// impl Common {
///     fn add(&mut self, mut value: i64) {
///         while value != 0 {
///             (self.0, value) = (value, self.0 % value);
///         }
///     }
/// }
///
/// impl GroupState for Common {
///     fn update(&mut self, values: &ArrayRef, rows: &[usize]) -> Result<()> {
///         let values = values.as_primitive::<Int64Type>();
///         rows.iter().for_each(|row| self.add(values.value(*row)));
///         Ok(())
///     }
///
///     fn save(&self) -> Vec<u8> {
///         self.0.to_le_bytes().to_vec()
///     }
///
///     fn merge(&mut self, saved: &[u8]) -> Result<()> {
///         let bytes = saved.try_into().map_err(|_| Error::bug("expected 8 bytes"))?;
///         self.add(i64::from_le_bytes(bytes));
///         Ok(())
///     }
///
///     fn result(&self) -> Result<ArrayRef> {
///         Ok(Arc::new(Int64Array::from(vec![self.0])))
///     }
/// }
///
/// let values: ArrayRef = Arc::new(Int64Array::from(vec![12, 7, 18]));
/// let (mut one, mut other) = (Divisor.group(&DataType::Int64), Divisor.group(&DataType::Int64));
/// one.update(&values, &[0]).unwrap();
/// other.update(&values, &[2]).unwrap();
/// one.merge(&other.save()).unwrap();
/// assert_eq!(one.result().unwrap().as_primitive::<Int64Type>().value(0), 6);
/// ```
pub trait AggregateFunction: Send + Sync {
    /// The type that it takes, if that is always the same: SQL then converts the argument as INSERT
    /// INTO does. With `None` it comes as it is.
    fn parameter(&self) -> Option<DataType> {
        None
    }

    /// The type of the result for an argument of this type. `InvalidInput` says what was expected.
    fn return_type(&self, argument: &DataType) -> Result<DataType>;

    /// A group without rows, for an argument of this type.
    fn group(&self, argument: &DataType) -> Box<dyn GroupState>;
}

/// What an [`AggregateFunction`] knows of the rows of one group.
pub trait GroupState: Send {
    /// Takes the values at `rows` of the argument's column; none of them is null.
    fn update(&mut self, values: &ArrayRef, rows: &[usize]) -> Result<()>;

    /// Everything it knows, for checkpoints and for other shards.
    fn save(&self) -> Vec<u8>;

    /// Adds what another group has saved. A group without rows that merges it knows the same.
    fn merge(&mut self, saved: &[u8]) -> Result<()>;

    /// One value, of the type that the function returns.
    fn result(&self) -> Result<ArrayRef>;

    /// About how many bytes it takes, for the memory budget.
    fn size(&self) -> usize {
        64
    }
}

/// A function and its name. Two are the same if they are one object.
pub struct Named<F: ?Sized> {
    /// The name in upper case.
    pub name: Arc<str>,
    /// The function.
    pub function: Arc<F>,
}

impl<F: ?Sized> Clone for Named<F> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            function: self.function.clone(),
        }
    }
}

impl<F: ?Sized> PartialEq for Named<F> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.function, &other.function)
    }
}

impl<F: ?Sized> fmt::Debug for Named<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Named").field(&self.name).finish()
    }
}

/// The functions that a script may call besides the built-in ones. Names are compared without case.
#[derive(Debug, Clone, Default)]
pub struct Functions {
    scalars: BTreeMap<Arc<str>, Named<dyn ScalarFunction>>,
    aggregates: BTreeMap<Arc<str>, Named<dyn AggregateFunction>>,
}

impl Functions {
    /// Adds a scalar function; it takes the place of another function of the same name.
    pub fn add_scalar(&mut self, name: &str, function: Arc<dyn ScalarFunction>) {
        let name: Arc<str> = name.to_uppercase().into();
        self.aggregates.remove(&name);
        let named = Named {
            name: name.clone(),
            function,
        };
        self.scalars.insert(name, named);
    }

    /// Adds an aggregate function; it takes the place of another function of the same name.
    pub fn add_aggregate(&mut self, name: &str, function: Arc<dyn AggregateFunction>) {
        let name: Arc<str> = name.to_uppercase().into();
        self.scalars.remove(&name);
        let named = Named {
            name: name.clone(),
            function,
        };
        self.aggregates.insert(name, named);
    }

    /// All names, in upper case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.scalars.keys().chain(self.aggregates.keys());
        names.map(|name| &**name)
    }

    /// The scalar function called `name`, in upper case.
    pub fn scalar(&self, name: &str) -> Option<&Named<dyn ScalarFunction>> {
        self.scalars.get(name)
    }

    /// The aggregate function called `name`, in upper case.
    pub fn aggregate(&self, name: &str) -> Option<&Named<dyn AggregateFunction>> {
        self.aggregates.get(name)
    }
}
