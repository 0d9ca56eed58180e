"""Deploys template.yaml to an emulator of AWS, sets what the emulator ignores, and makes sure of it.

    AWS_ENDPOINT_URL=http://127.0.0.1:4566 seed.py --functions target/localstack/functions

Speaks to AWS_ENDPOINT_URL by AWS's own API and to nothing else, so the emulator may be any. What is deployed is
template.yaml as it stands: local paths in it are uploaded and replaced, as `sam package` does.
"""

import argparse
import functools
import hashlib
import io
import json
import os
import pathlib
import shlex
import sys
import time
import tomllib
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from samtranslator.yaml_helper import yaml_parse

import demo

ROOT = pathlib.Path(__file__).resolve().parent.parent
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "CAPABILITY_NAMED_IAM"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    code = arguments.add_mutually_exclusive_group(required=True)
    code.add_argument("--functions", type=pathlib.Path, help="folder with NAME/bootstrap for each function")
    code.add_argument("--one-for-all", type=pathlib.Path, help="one executable for every function instead")
    arguments.add_argument("--config-env", default="local", help="section of samconfig.toml")
    arguments.add_argument("--no-demo", action="store_true", help="no certificates, domain and mailboxes")
    arguments.add_argument("--description", type=pathlib.Path, help="where to write what the stack says of itself")
    options = arguments.parse_args()
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    deploy = config[options.config_env]["deploy"]["parameters"]
    region = config[options.config_env]["global"]["parameters"]["region"]
    aws = Aws(region)

    template = package(aws, deploy["stack_name"], options)
    parameters = overrides(deploy["parameter_overrides"])
    outputs = apply(aws, deploy["stack_name"], template, parameters)
    set_what_is_ignored(aws, template, deploy["stack_name"], parameters, outputs)
    check(aws, template, deploy["stack_name"], parameters, outputs)
    if not options.no_demo:
        demo.settle(aws, outputs)
    if options.description:
        options.description.write_text(description(aws, deploy["stack_name"]))
    print(json.dumps(outputs, indent=2, sort_keys=True))


def description(aws, stack):
    """As `aws cloudformation describe-stacks` prints it: what `sigillo --aws` reads."""
    stacks = aws.cloudformation.describe_stacks(StackName=stack)["Stacks"]
    return json.dumps({"Stacks": stacks}, indent=2, default=str)


class Aws:
    """Clients of the emulator by name, made once. Nothing here ever speaks to AWS itself."""

    def __init__(self, region):
        self.endpoint = os.environ.get("AWS_ENDPOINT_URL") or sys.exit("failed to start: AWS_ENDPOINT_URL is not set")
        self.session = boto3.Session("test", "test", region_name=region)
        self.clients = {}

    def __getattr__(self, name):
        return self.client(name)

    def client(self, name):
        if name not in self.clients:
            config = Config(s3={"addressing_style": "path"}, retries={"mode": "standard"})
            self.clients[name] = self.session.client(name, config=config, endpoint_url=self.endpoint)
        return self.clients[name]


def overrides(text):
    return dict(word.split("=", 1) for word in shlex.split(text))


# ------------------------------------------------------------------------------------------------ Deployment


def package(aws, stack, options):
    """The template with what it names by local path uploaded."""
    bucket = f"{stack}-deploy"
    make_bucket(aws, bucket)
    template = yaml_parse((ROOT / "template.yaml").read_text())
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            name = properties["CodeUri"].removeprefix("functions/")
            key = function(aws, bucket, options.one_for_all or options.functions / name / "bootstrap")
            properties["CodeUri"] = {"Bucket": bucket, "Key": key}
        elif resource["Type"] == "AWS::CloudFormation::Stack":
            path = properties["TemplateURL"]
            body = json.dumps(yaml_parse((ROOT / path).read_text()))
            properties["TemplateURL"] = upload(aws, bucket, path, body)
    template["_url"] = upload(aws, bucket, "template.json", json.dumps(template))
    return template


@functools.cache
def function(aws, bucket, executable):
    """An executable as Lambda takes it; under a name that changes with its octets, so that an update is seen."""
    octets = executable.read_bytes()
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr, entry.compress_type = 0o755 << 16, zipfile.ZIP_DEFLATED
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compresslevel=1) as archive:
        archive.writestr(entry, octets)
    key = f"functions/{hashlib.sha256(octets).hexdigest()}.zip"
    aws.s3.put_object(Bucket=bucket, Key=key, Body=packed.getvalue())
    return key


def make_bucket(aws, name):
    try:
        aws.s3.create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": aws.session.region_name}
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
            raise


def upload(aws, bucket, key, body):
    aws.s3.put_object(Bucket=bucket, Key=key, Body=body.encode())
    return f"{aws.endpoint}/{bucket}/{key}"


def apply(aws, stack, template, parameters):
    """Creates or updates the stack by a change set and gives its outputs."""
    kind = "UPDATE" if exists(aws, stack) else "CREATE"
    name = f"seed-{int(time.time())}"
    aws.cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName=name,
        ChangeSetType=kind,
        TemplateURL=template["_url"],
        Capabilities=CAPABILITIES,
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
    )
    ready = wait(lambda: aws.cloudformation.describe_change_set(StackName=stack, ChangeSetName=name), "Status")
    if ready["Status"] == "FAILED":
        if "didn't contain changes" not in ready.get("StatusReason", ""):
            sys.exit(f"seed.py: failed to make a change set: {ready.get('StatusReason')}")
    else:
        aws.cloudformation.execute_change_set(StackName=stack, ChangeSetName=name)
    done = wait(lambda: aws.cloudformation.describe_stacks(StackName=stack)["Stacks"][0], "StackStatus")
    if done["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        for event in aws.cloudformation.describe_stack_events(StackName=stack)["StackEvents"]:
            if "FAILED" in event["ResourceStatus"]:
                print(event["LogicalResourceId"], event.get("ResourceStatusReason"), file=sys.stderr)
        sys.exit(f"seed.py: failed to deploy {stack}: {done['StackStatus']}")
    return {output["OutputKey"]: output["OutputValue"] for output in done["Outputs"]}


def exists(aws, stack):
    try:
        stacks = aws.cloudformation.describe_stacks(StackName=stack)["Stacks"]
        return stacks[0]["StackStatus"] not in ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE")
    except ClientError:
        return False


def wait(ask, field):
    end = time.monotonic() + 300
    while True:
        answer = ask()
        status = answer[field]
        if not (status.endswith("IN_PROGRESS") or status.endswith("PENDING")):
            return answer
        if time.monotonic() > end:
            sys.exit(f"seed.py: failed to wait: still {status}")
        time.sleep(0.2)


# ------------------------------------------------------------------------------------------------ What emulators ignore


def tables(template, outputs):
    """Logical and physical names of the tables."""
    names = [name for name, r in template["Resources"].items() if r["Type"] == "AWS::DynamoDB::Table"]
    return {name: outputs[name] for name in names}


def set_what_is_ignored(aws, template, stack, parameters, outputs):
    resources = template["Resources"]
    for physical in tables(template, outputs).values():
        aws.dynamodb.update_continuous_backups(
            TableName=physical, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
    log = aws.dynamodb.describe_table(TableName=outputs["LegalLogTable"])["Table"]["TableArn"]
    policy = resources["LegalLogTable"]["Properties"]["ResourcePolicy"]["PolicyDocument"]
    for statement in policy["Statement"]:
        statement["Resource"] = log
    aws.dynamodb.put_resource_policy(ResourceArn=log, Policy=json.dumps(policy))
    for bucket in ("DataBucket", "VaultBucket"):
        aws.s3.put_bucket_versioning(Bucket=outputs[bucket], VersioningConfiguration={"Status": "Enabled"})
        rules = resources[bucket]["Properties"]["LifecycleConfiguration"]["Rules"]
        aws.s3.put_bucket_lifecycle_configuration(
            Bucket=outputs[bucket], LifecycleConfiguration={"Rules": [lifecycle(rule) for rule in rules]}
        )
    aws.s3.put_object_lock_configuration(
        Bucket=outputs["VaultBucket"], ObjectLockConfiguration=object_lock(template, parameters)
    )
    # A parameter comes as a text where the emulator's poller expects a number.
    for handler in handlers(template):
        for mapping in mappings(aws, f"{stack}-{handler}"):
            if ":sqs:" in mapping["EventSourceArn"]:
                most = {"MaximumConcurrency": int(parameters["StageConcurrency"])}
                aws.client("lambda").update_event_source_mapping(UUID=mapping["UUID"], ScalingConfig=most)


def mappings(aws, function):
    return aws.client("lambda").list_event_source_mappings(FunctionName=function)["EventSourceMappings"]


def object_lock(template, parameters):
    lock = template["Resources"]["VaultBucket"]["Properties"]["ObjectLockConfiguration"]
    mode, days = lock["Rule"]["DefaultRetention"]["Mode"], int(parameters["VaultRetentionDays"])
    return {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": mode, "Days": days}}}


def lifecycle(rule):
    """A rule of the template as S3's API takes it."""
    said = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "ExpirationInDays" in rule:
        said["Expiration"] = {"Days": rule["ExpirationInDays"]}
    for name in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"):
        if name in rule:
            said[name] = rule[name]
    return said


# ------------------------------------------------------------------------------------------------ What must be there


def check(aws, template, stack, parameters, outputs):
    """What was deployed is what the template says, as far as an emulator can tell."""
    check_tables(aws, template, outputs)
    check_buckets(aws, template, parameters, outputs)
    check_functions(aws, template, stack)
    check_queues(aws, template, outputs)
    key = aws.kms.describe_key(KeyId=outputs["SigningKeyArn"])["KeyMetadata"]
    require((key["KeySpec"], key["KeyUsage"]) == ("RSA_2048", "SIGN_VERIFY"), f"signing key: {key}")
    alarms = aws.cloudwatch.describe_alarms(AlarmNamePrefix=stack)["MetricAlarms"]
    require(all(alarm["AlarmActions"] == [outputs["AlarmTopicArn"]] for alarm in alarms), "where alarms go")
    names = {alarm["AlarmName"].removeprefix(f"{stack}-") for alarm in alarms}
    stages = [name for name in handlers(template) if name not in ("notarize", "directory")]
    wanted = {f"{s}-{a}" for s in stages for a in ("dead-letters", "oldest", "errors", "throttles")}
    wanted |= {"legal-log-altered", "vault-behind", "vault-lost", "unpaid-debts", "no-tick", "notices"}
    wanted |= {"notarize-errors", "directory-errors"}
    require(names == wanted, f"alarms: {names ^ wanted}")


def handlers(template):
    functions = [r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::Serverless::Function"]
    return {function["Handler"]: function for function in functions}


def check_tables(aws, template, outputs):
    for logical, physical in tables(template, outputs).items():
        said = template["Resources"][logical]["Properties"]
        table = aws.dynamodb.describe_table(TableName=physical)["Table"]
        indexes = {i["IndexName"]: i["KeySchema"] for i in table["GlobalSecondaryIndexes"]}
        wanted = {i["IndexName"]: i["KeySchema"] for i in said["GlobalSecondaryIndexes"]}
        require(indexes == wanted, f"indexes of {physical}: {indexes}")
        stream = table.get("StreamSpecification", {}).get("StreamViewType")
        require(stream == said.get("StreamSpecification", {}).get("StreamViewType"), f"stream of {physical}")
        backups = aws.dynamodb.describe_continuous_backups(TableName=physical)["ContinuousBackupsDescription"]
        recovery = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
        require(recovery == "ENABLED", f"point-in-time recovery of {physical}")
        # No table forgets: deadlines are kept by `watch`, and nothing of the log may go.
        expiry = aws.dynamodb.describe_time_to_live(TableName=physical)["TimeToLiveDescription"]
        require(expiry["TimeToLiveStatus"] == "DISABLED", f"time to live of {physical}")
    log = aws.dynamodb.describe_table(TableName=outputs["LegalLogTable"])["Table"]["TableArn"]
    policy = json.loads(aws.dynamodb.get_resource_policy(ResourceArn=log)["Policy"])
    require("dynamodb:DeleteItem" in policy["Statement"][0]["Action"], f"policy of the log: {policy}")


def check_buckets(aws, template, parameters, outputs):
    vault = aws.s3.get_object_lock_configuration(Bucket=outputs["VaultBucket"])["ObjectLockConfiguration"]
    require(vault == object_lock(template, parameters), f"object lock of the vault: {vault}")
    require(vault["Rule"]["DefaultRetention"]["Mode"] == "COMPLIANCE", f"object lock of the vault: {vault}")
    for logical in ("DataBucket", "VaultBucket"):
        bucket = outputs[logical]
        require(aws.s3.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled", f"versions of {bucket}")
        policy = aws.s3.get_bucket_policy(Bucket=bucket)["Policy"]
        require("aws:SecureTransport" in policy, f"policy of {bucket}")
        closed = aws.s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        require(len(closed) == 4 and all(closed.values()), f"public access to {bucket}: {closed}")
        said = template["Resources"][logical]["Properties"]["LifecycleConfiguration"]["Rules"]
        rules = aws.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        require({r["ID"] for r in rules} == {r["Id"] for r in said}, f"lifecycle of {bucket}: {rules}")
    told = aws.s3.get_bucket_notification_configuration(Bucket=outputs["DataBucket"])["QueueConfigurations"]
    prefixes = [rule["Value"] for rule in told[0]["Filter"]["Key"]["FilterRules"]]
    require(prefixes == ["ses/submission/"], f"notifications of the data bucket: {told}")


def check_functions(aws, template, stack):
    for handler, said in handlers(template).items():
        name = f"{stack}-{handler}"
        sources = {event["Type"] for event in said["Events"].values()} - {"ScheduleV2"}
        found = mappings(aws, name)
        # A schedule alone feeds `directory`.
        require(len(found) == len(sources) == (handler != "directory"), f"mappings of {name}: {found}")
        responses = [mapping["FunctionResponseTypes"] for mapping in found]
        require(responses == [["ReportBatchItemFailures"]] * len(found), f"mapping of {name}: {responses}")
    schedules = aws.scheduler.list_schedules()["Schedules"]
    targets = [schedule["Target"]["Arn"].rpartition(":")[2] for schedule in schedules]
    for scheduled in ("watch", "directory", "notarize"):
        require(targets.count(f"{stack}-{scheduled}") == 1, f"schedule of {scheduled}: {targets}")


def check_queues(aws, template, outputs):
    for logical, resource in template["Resources"].items():
        if resource["Type"] == "AWS::SQS::Queue" and "RedrivePolicy" in resource["Properties"]:
            queue = aws.sqs.get_queue_attributes(QueueUrl=outputs[f"{logical}Url"], AttributeNames=["All"])
            redrive = json.loads(queue["Attributes"]["RedrivePolicy"])
            require(int(redrive["maxReceiveCount"]) == 5, f"redrive of {logical}: {redrive}")
            hidden_s = int(queue["Attributes"]["VisibilityTimeout"])
            timeout_s = template["Globals"]["Function"]["Timeout"]
            require(hidden_s >= 6 * timeout_s, f"visibility of {logical}: {hidden_s} s")


def require(holds, what):
    if not holds:
        sys.exit(f"seed.py: failed to find what the template says: {what}")


if __name__ == "__main__":
    main()
