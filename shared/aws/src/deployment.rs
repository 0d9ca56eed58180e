//! A deployment as its operator sees it: CloudFormation's description of the stack names tables, buckets, queues, the
//! key and the limits, and the operator's own credentials say what may be done with them.

use std::{collections::HashMap, sync::Arc};

use aws_config::Region;
use aws_sdk_dynamodb::config::ProvideCredentials as _;
use serde::Deserialize;
use stages::{BlobKey, Rim, ports::BlobError};

use crate::{
    Clients, Config,
    config::{ConfigError, SigningKey},
    directory::{DirectoryError, S3Directory},
    function::{Function, Name, Parts, StartError},
    signer::{KeyChain, KeysError, KmsSigner},
};

/// Which output of the stack is which variable of the functions.
const OUTPUTS: [(&str, &str); 13] = [
    ("SIGILLO_TABLE_LETTERS", "LettersTable"),
    ("SIGILLO_TABLE_MAILBOXES", "MailboxesTable"),
    ("SIGILLO_TABLE_REGISTRY", "RegistryTable"),
    ("SIGILLO_TABLE_LOG", "LegalLogTable"),
    ("SIGILLO_BUCKET_DATA", "DataBucket"),
    ("SIGILLO_BUCKET_VAULT", "VaultBucket"),
    ("SIGILLO_QUEUE_ACCEPT_URL", "AcceptQueueUrl"),
    ("SIGILLO_QUEUE_SEAL_URL", "SealQueueUrl"),
    ("SIGILLO_QUEUE_CERTIFY_URL", "CertifyQueueUrl"),
    ("SIGILLO_QUEUE_RECEIVE_URL", "ReceiveQueueUrl"),
    ("SIGILLO_QUEUE_DELIVER_URL", "DeliverQueueUrl"),
    ("SIGILLO_QUEUE_DISPATCH_URL", "DispatchQueueUrl"),
    ("SIGILLO_QUEUE_WATCH_URL", "WatchQueueUrl"),
];

/// Which parameter of the stack is which variable of the functions.
const PARAMETERS: [(&str, &str); 3] = [
    ("SIGILLO_RECIPIENTS_MAX", "RecipientsMax"),
    ("SIGILLO_PRODUCT_BYTES_MAX", "ProductBytesMax"),
    ("SIGILLO_TECHNICAL_BYTES_MAX", "TechnicalBytesMax"),
];

/// The output that names the signing key.
const SIGNING_KEY: &str = "SigningKeyArn";

/// Parameters that say who the provider is, and where mail for it enters.
const ENVIRONMENT: &str = "Environment";
const CHAIN_KEY: &str = "CertificateChainKey";
const GATEWAY: &str = "Gateway";
const GATEWAY_HOST: &str = "GatewayHost";
const INCOMING_DOOR: &str = "IncomingDoor";

/// Why a deployment cannot be used. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// Not the answer of CloudFormation, or not about one stack.
    #[error(
        "read the stack's description: expected what `aws cloudformation describe-stacks --stack-name STACK` prints"
    )]
    Description,
    /// A stack of something else, or one that is not deployed whole.
    #[error("find the stack's output {0}: is it a stack of template.yaml, and complete?")]
    Output(&'static str),
    /// Outputs or parameters that make no sense together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nobody said who asks.
    #[error("find credentials in the environment or in a profile: {0}")]
    Credentials(String),
    /// The ports do not open.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The key, or its certificate.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// No provider index.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The data bucket does not answer.
    #[error("read a setting")]
    Settings(#[from] BlobError),
    /// Something that operators put into the data bucket.
    #[error("find {0} in the data bucket")]
    Missing(String),
}

/// What a stack's description says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// What its functions are told, but for keys.
    pub config: Config,
    /// Where it is.
    pub region: String,
    /// ARN of its signing key.
    pub signing_key: String,
    /// Where its certificate chain lies in the data bucket; empty before there is one.
    pub chain_key: String,
    /// Id of the environment that the key signs for.
    pub environment: String,
    /// Hosts that MX records of its domains may name: the gateway's, and that of SES where SES takes mail.
    pub hosts: Vec<String>,
}

impl Description {
    /// From the JSON that `aws cloudformation describe-stacks` prints about one stack.
    ///
    /// # Errors
    /// [`DeploymentError`]
    pub fn read(json: &[u8]) -> Result<Self, DeploymentError> {
        let answer: Answer = serde_json::from_slice(json).map_err(|_| DeploymentError::Description)?;
        let [stack] = &answer.stacks[..] else { return Err(DeploymentError::Description) };
        let outputs: HashMap<&str, &str> =
            stack.outputs.iter().map(|o| (o.key.as_str(), o.value.as_str())).collect();
        let parameters: HashMap<&str, &str> =
            stack.parameters.iter().map(|p| (p.key.as_str(), p.value.as_str())).collect();
        let output = |name: &'static str| outputs.get(name).copied().ok_or(DeploymentError::Output(name));
        let mut variables = HashMap::new();
        for (variable, name) in OUTPUTS {
            variables.insert(variable, output(name)?);
        }
        for (variable, name) in PARAMETERS {
            variables.extend(parameters.get(name).map(|value| (variable, *value)));
        }
        // arn:PARTITION:cloudformation:REGION:ACCOUNT:stack/...
        let region = stack.id.split(':').nth(3).filter(|region| !region.is_empty());
        let region = region.ok_or(DeploymentError::Description)?.to_owned();
        let parameter = |name: &str| parameters.get(name).copied().unwrap_or_default();
        let ses =
            (parameter(INCOMING_DOOR) == "true").then(|| format!("inbound-smtp.{region}.amazonaws.com"));
        let gateway = (parameter(GATEWAY) == "true").then(|| parameter(GATEWAY_HOST).to_owned());
        // In the template it is a part of some JSON.
        let environment = serde_json::from_str(&format!("\"{}\"", parameter(ENVIRONMENT)));
        Ok(Self {
            config: Config::read(&|name| variables.get(name).map(|value| (*value).to_owned()))?,
            region,
            signing_key: output(SIGNING_KEY)?.to_owned(),
            chain_key: parameter(CHAIN_KEY).to_owned(),
            environment: environment.map_err(|_| DeploymentError::Description)?,
            hosts: gateway.into_iter().chain(ses).collect(),
        })
    }
}

/// A deployment in the hands of its operator.
pub struct Deployment {
    /// What its stack says.
    pub description: Description,
    /// Clients with the operator's credentials.
    pub clients: Clients,
    function: Function,
}

impl Deployment {
    /// With credentials from environment or profile, and the endpoint in `AWS_ENDPOINT_URL` if there is one.
    ///
    /// # Errors
    /// [`DeploymentError`]
    pub async fn open(description: Description) -> Result<Self, DeploymentError> {
        let shared = Clients::environment(Some(Region::new(description.region.clone()))).await;
        let credentials = shared.credentials_provider();
        let credentials =
            credentials.ok_or_else(|| DeploymentError::Credentials("there are none".to_owned()))?;
        credentials.provide_credentials().await.map_err(|e| DeploymentError::Credentials(e.to_string()))?;
        let clients = Clients::new(&shared);
        // The ports of a door: neither index nor certificates are read, and nothing is signed.
        let config = description.config.clone();
        let function = Function::open(Name::Ingest, config, clients.clone(), Parts::default()).await?;
        Ok(Self { description, clients, function })
    }

    /// All ports together; those that a door does not use answer that they are not there.
    #[must_use]
    pub fn rim(&self) -> &Rim {
        self.function.rim()
    }

    /// The ports with the provider index, for what is judged by it.
    ///
    /// # Errors
    /// [`DeploymentError`] without an index in the data bucket.
    pub async fn with_index(&self) -> Result<Rim, DeploymentError> {
        let Config { buckets, index_key, .. } = self.description.config.clone();
        let now = self.rim().now();
        let directory = S3Directory::open(self.clients.s3.clone(), buckets.data, index_key, now).await?;
        Ok(Rim { directory: Arc::new(directory), ..self.rim().clone() })
    }

    /// The ports with the provider index and the stack's key, by which the operator signs in the name of the stack's
    /// environment.
    ///
    /// # Errors
    /// [`DeploymentError`] without an index or a certificate in the data bucket, or with that of another key.
    pub async fn with_key(&self) -> Result<Rim, DeploymentError> {
        let Description { environment, signing_key, chain_key, .. } = self.description.clone();
        let chain = self.setting(&chain_key).await?;
        let key = SigningKey { environment, key: signing_key, chain_key };
        let signer = KmsSigner::new(self.clients.kms.clone(), vec![KeyChain { key, chain }])?;
        signer.check().await?;
        Ok(Rim { signer: Arc::new(signer), ..self.with_index().await? })
    }

    /// The trust anchors that the functions use, PEM.
    ///
    /// # Errors
    /// [`DeploymentError`]
    pub async fn anchors(&self) -> Result<Vec<u8>, DeploymentError> {
        self.setting(&self.description.config.anchors_key).await
    }

    /// The provider index in force, LDIF.
    ///
    /// # Errors
    /// [`DeploymentError`]
    pub async fn index(&self) -> Result<Vec<u8>, DeploymentError> {
        self.setting(&self.description.config.index_key).await
    }

    async fn setting(&self, key: &str) -> Result<Vec<u8>, DeploymentError> {
        let found = self.rim().blobs.get(&BlobKey::listed(key.to_owned())).await?;
        found.map(Into::into).ok_or_else(|| DeploymentError::Missing(key.to_owned()))
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Stacks")]
    stacks: Vec<Stack>,
}

#[derive(Deserialize)]
struct Stack {
    #[serde(rename = "StackId")]
    id: String,
    #[serde(rename = "Outputs", default)]
    outputs: Vec<Output>,
    #[serde(rename = "Parameters", default)]
    parameters: Vec<Parameter>,
}

#[derive(Deserialize)]
struct Output {
    #[serde(rename = "OutputKey")]
    key: String,
    #[serde(rename = "OutputValue")]
    value: String,
}

#[derive(Deserialize)]
struct Parameter {
    #[serde(rename = "ParameterKey")]
    key: String,
    #[serde(rename = "ParameterValue", default)]
    value: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const TEMPLATE: &str = include_str!("../../../template.yaml");

    fn described() -> Value {
        let outputs = OUTPUTS.iter().map(|(_, name)| *name).chain([SIGNING_KEY]);
        let outputs: Vec<Value> =
            outputs.map(|name| json!({ "OutputKey": name, "OutputValue": format!("the {name}") })).collect();
        let parameters = json!([
            { "ParameterKey": "RecipientsMax", "ParameterValue": "7" },
            { "ParameterKey": "Environment", "ParameterValue": "Posta \\\"uno\\\"" },
            { "ParameterKey": "Gateway", "ParameterValue": "true" },
            { "ParameterKey": "GatewayHost", "ParameterValue": "mail.gestore.example" },
            { "ParameterKey": "IncomingDoor", "ParameterValue": "false" },
        ]);
        json!({ "Stacks": [{
            "StackId": "arn:aws:cloudformation:eu-south-1:111122223333:stack/sigillo/0a1b", "StackName": "sigillo",
            "StackStatus": "UPDATE_COMPLETE", "Parameters": parameters, "Outputs": outputs,
        }] })
    }

    #[test]
    fn a_description_says_what_the_functions_are_told() {
        let said = Description::read(described().to_string().as_bytes()).unwrap();
        assert_eq!((said.region.as_str(), said.signing_key.as_str()), ("eu-south-1", "the SigningKeyArn"));
        assert_eq!(said.config.tables.log, "the LegalLogTable");
        assert_eq!(said.config.queues[&stages::jobs::QueueName::Deliver], "the DeliverQueueUrl");
        assert_eq!(
            (said.environment.as_str(), said.hosts),
            ("Posta \"uno\"", vec!["mail.gestore.example".to_owned()])
        );
        assert_eq!(said.config.limits.recipients_max, 7);
        assert_eq!(said.config.limits.technical_bytes_max, pec::check::Limits::default().technical_bytes_max);
    }

    #[test]
    fn what_is_no_description_of_one_stack_of_ours_is_refused_in_words() {
        for odd in [json!({}), json!({ "Stacks": [] }), json!([]), json!({ "Stacks": [{}] })] {
            let error = Description::read(odd.to_string().as_bytes()).unwrap_err();
            assert!(matches!(error, DeploymentError::Description), "{odd}");
        }
        for n in 0..=OUTPUTS.len() {
            let mut less = described();
            less["Stacks"][0]["Outputs"].as_array_mut().unwrap().remove(n);
            let error = Description::read(less.to_string().as_bytes()).unwrap_err();
            assert!(matches!(error, DeploymentError::Output(_)), "{n}");
        }
    }

    #[test]
    fn the_template_has_every_output_and_parameter_that_is_read() {
        for name in OUTPUTS.iter().map(|(_, name)| *name).chain([SIGNING_KEY]) {
            assert!(TEMPLATE.contains(&format!("\n  {name}: {{ Value: ")), "{name}");
        }
        for name in [ENVIRONMENT, CHAIN_KEY, GATEWAY, GATEWAY_HOST, INCOMING_DOOR] {
            assert!(TEMPLATE.contains(&format!("\n  {name}:\n    Type: ")), "{name}");
        }
        for (variable, name) in PARAMETERS {
            assert!(TEMPLATE.contains(&format!("\n  {name}:\n    Type: ")), "{name}");
            assert!(TEMPLATE.contains(&format!("{variable}: !Ref {name}\n")), "{variable}");
        }
    }
}
