//! EC2's form parameters: lists are `Name.1`, `Name.2`, structures `Name.1.Member`.

use std::collections::BTreeMap;

pub(in crate::api) struct Form(BTreeMap<String, String>);

/// One `Filter.N` of a describe.
pub(super) struct Filter {
    pub(super) name: String,
    pub(super) values: Vec<String>,
}

impl Form {
    pub(in crate::api) fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    pub(in crate::api) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The values of `prefix.1`, `prefix.2` and so on.
    pub(in crate::api) fn list(&self, prefix: &str) -> Vec<String> {
        (1..).map_while(|n| self.get(&format!("{prefix}.{n}")).map(ToOwned::to_owned)).collect()
    }

    pub(super) fn filters(&self) -> Vec<Filter> {
        let filter = |n| {
            Some(Filter {
                name: self.get(&format!("Filter.{n}.Name"))?.to_owned(),
                values: self.list(&format!("Filter.{n}.Value")),
            })
        };
        (1..).map_while(filter).collect()
    }

    /// The key and value pairs of `prefix.1.Key`, `prefix.1.Value` and so on.
    pub(super) fn tags(&self, prefix: &str) -> Vec<(String, String)> {
        let tag = |n| {
            let key = self.get(&format!("{prefix}.{n}.Key"))?;
            Some((key.to_owned(), self.get(&format!("{prefix}.{n}.Value")).unwrap_or_default().to_owned()))
        };
        (1..).map_while(tag).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_filters_and_tags_are_read() {
        let form =
            Form::parse(b"InstanceId.1=a&InstanceId.2=b&Filter.1.Name=n&Filter.1.Value.1=v&T.1.Key=k&T.1.Value=x+y");
        assert_eq!(form.list("InstanceId"), ["a", "b"]);
        assert_eq!((form.filters()[0].name.as_str(), form.filters()[0].values[0].as_str()), ("n", "v"));
        assert_eq!(form.tags("T"), [("k".to_owned(), "x y".to_owned())]);
    }
}
