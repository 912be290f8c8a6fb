//! Makes each function usable in ad-hoc queries of the query engine.

use std::any::Any;
use std::hash::{Hash, Hasher};

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::args::to_datafusion;
use super::definition::{Call, Function};
use super::evaluate;

/// A [`Function`] under its name in lower case.
#[derive(Debug)]
pub(super) struct FlinkFunction {
    function: &'static Function,
    name: String,
    signature: Signature,
}

impl FlinkFunction {
    pub fn new(function: &'static Function) -> Self {
        Self {
            function,
            name: function.name.to_lowercase(),
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

// Names are unique.
impl PartialEq for FlinkFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for FlinkFunction {}

impl Hash for FlinkFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for FlinkFunction {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce(arg_types).map_err(to_datafusion)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.function.return_type(arg_types).map_err(to_datafusion)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = |value: &ColumnarValue| -> Option<ScalarValue> {
            match value {
                ColumnarValue::Scalar(value) => Some(value.clone()),
                ColumnarValue::Array(_) => None,
            }
        };
        let constants: Vec<_> = args.args.iter().map(constant).collect();
        let call = Call {
            constants: &constants,
        };
        let kernel = self.function.prepare(&call).map_err(to_datafusion)?;
        let return_type = args.return_field.data_type();
        evaluate(&kernel, &args.args, args.number_rows, return_type).map_err(to_datafusion)
    }
}
