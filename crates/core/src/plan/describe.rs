//! Single steps of a plan in words, for messages that compare plans.

use super::{AggregateText, Node, NodeInput, Operator, Plan, WindowText, named, ordered};
use crate::expr::Joined;

impl Plan {
    /// What a node does, as EXPLAIN shows it.
    pub fn step_text(&self, node: &Node) -> String {
        let input = self.input_schema(node.inputs[0]);
        match &node.operator {
            Operator::Filter(predicate) => format!("filter {predicate}"),
            Operator::Project(exprs) => {
                let columns = exprs.iter().zip(node.schema.fields());
                let columns = columns.map(|(expr, field)| named(expr, field.name()));
                format!("project {}", columns.collect::<Vec<_>>().join(", "))
            }
            Operator::AssignWindow(window) => format!("assign {}", WindowText(window, &input)),
            Operator::WindowAggregate(aggregate) => {
                AggregateText(aggregate, &input, &node.schema).to_string()
            }
            Operator::WindowRank(rank) => ordered::RankText(rank, &input).to_string(),
            Operator::Over(over) => ordered::OverText(over, &input, &node.schema).to_string(),
            Operator::Union => "union".to_owned(),
            Operator::Join(join) => self.join_text(node, join),
            Operator::Unnest(unnest) => unnest.text(&input, &node.schema),
            Operator::Sink(id) => format!("sink {}", self.sinks[id.index()]),
        }
    }

    /// What comes in at a node: the tables, and the steps that decide which of their rows.
    pub fn input_text(&self, node: &Node) -> String {
        let inputs = node.inputs.iter().map(|input| self.rows_text(*input));
        inputs.collect::<Vec<_>>().join(" and ")
    }

    fn rows_text(&self, input: NodeInput) -> String {
        let node = match input {
            NodeInput::Source(id) => return format!("`{}`", self.sources[id.index()].table),
            NodeInput::Node(id) => &self.nodes[id.index()],
        };
        let before = self.input_text(node);
        match &node.operator {
            Operator::Filter(predicate) => format!("{before} where {predicate}"),
            Operator::Project(_) | Operator::Union => before,
            _ => format!("{before}, {}", self.step_text(node)),
        }
    }

    /// What a node with state is made of, part by part: a name and a text for each.
    pub fn aspects(&self, node: &Node) -> Vec<(String, String)> {
        let mut aspects = vec![("input", self.input_text(node))];
        if let Operator::WindowAggregate(aggregate) = &node.operator {
            let input = self.input_schema(node.inputs[0]);
            let name = |column: &usize| input.field(*column).name().clone();
            let keys: Vec<String> = aggregate.keys.iter().map(name).collect();
            let calls = aggregate.aggregates.iter();
            let calls: Vec<String> = calls.map(|call| call.text(&input)).collect();
            aspects.push(("window", WindowText(&aggregate.window, &input).to_string()));
            aspects.push(("keys", Joined(&keys).to_string()));
            aspects.push(("aggregates", Joined(&calls).to_string()));
        } else {
            aspects.push(("step", self.step_text(node)));
        }
        let named = aspects.into_iter();
        named.map(|(name, text)| (name.to_owned(), text)).collect()
    }
}
