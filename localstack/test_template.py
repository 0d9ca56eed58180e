"""What must hold of template.yaml as SAM renders it: who may do what, and that template and code name the same things.

    test_template.py        with the Python of target/localstack/venv; no emulator is needed
"""

import fnmatch
import functools
import json
import logging
import os
import pathlib
import re
import shlex
import tomllib
import unittest

os.environ.setdefault("AWS_DEFAULT_REGION", "eu-south-1")  # before the transform looks for a region

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-south-1",
    "AWS::AccountId": "111122223333",
    "AWS::StackName": "sigillo",
}
NOTHING = object()

WRITES = ["dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"]
WRITES += ["dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate", "dynamodb:PartiQLDelete", "dynamodb:DeleteTable"]

# Functions whose commits append to the legal log: all that run a stage; and the gateway, which runs dispatch.
APPEND = {"accept", "seal", "certify", "receive", "deliver", "dispatch", "gateway", "watch"}

# A stack with a gateway.
GATEWAY = {
    "Gateway": "true",
    "GatewayHost": "mail.example",
    "GatewayImage": "111122223333.dkr.ecr.eu-south-1.amazonaws.com/sigillo-gateway:1",
    "GatewaySecretArn": "arn:aws:secretsmanager:eu-south-1:111122223333:secret:sigillo/doors-AbCdEf",
}

# And one that fetches the provider index.
DIRECTORY = {
    "DirectoryUrl": "https://index.example/index.ldif.p7m",
    "DirectorySecretArn": "arn:aws:secretsmanager:eu-south-1:111122223333:secret:sigillo/directory-AbCdEf",
}


def read(path):
    return (ROOT / path).read_text()


class NoPolicies:
    """SAM asks for AWS's managed policies; we name none of them."""

    def load(self):
        return {}


@functools.cache
def rendered():
    """The template as SAM renders it."""
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    source = yaml_parse(read("template.yaml"))
    for resource in source["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    return transform(source, {"Environment": "Sigillo"}, NoPolicies())


class Template:
    """The rendered template, its intrinsics resolved under given parameters."""

    def __init__(self, **parameters):
        template = rendered()
        self.resources = template["Resources"]
        said = {name: str(p["Default"]) for name, p in template["Parameters"].items() if "Default" in p}
        self.parameters = said | {"Environment": "Sigillo"} | parameters
        self.conditions = {name: self.holds(c) for name, c in template["Conditions"].items()}

    def holds(self, condition):
        ((kind, of),) = condition.items()
        if kind == "Fn::Equals":
            return self.value(of[0]) == self.value(of[1])
        assert kind == "Fn::Not", condition
        return not self.holds(of[0])

    def value(self, node):
        if isinstance(node, list):
            return [v for v in map(self.value, node) if v is not NOTHING]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((kind, of),) = node.items()
            if kind == "Ref":
                return self.ref(of)
            if kind == "Fn::GetAtt":
                return self.attribute(*(of if isinstance(of, list) else of.split(".", 1)))
            if kind == "Fn::If":
                return self.value(of[1] if self.conditions[of[0]] else of[2])
            if kind == "Fn::Sub":
                return self.sub(*(of if isinstance(of, list) else (of, {})))
        values = {k: self.value(v) for k, v in node.items()}
        return {k: v for k, v in values.items() if v is not NOTHING}

    def sub(self, text, more):
        def found(match):
            name = match[1]
            if name in more:
                return self.value(more[name])
            return self.attribute(*name.split(".", 1)) if "." in name else self.ref(name)

        return re.sub(r"\$\{([^}]+)\}", found, text)

    def ref(self, name):
        if name == "AWS::NoValue":
            return NOTHING
        return PSEUDO.get(name) or self.parameters.get(name) or self.name(name)

    def name(self, logical):
        if logical in self.parameters:
            return self.parameters[logical]
        properties = self.resources[logical].get("Properties", {})
        for name in ("TableName", "BucketName", "QueueName", "LogGroupName", "FunctionName", "TopicName"):
            if name in properties:
                return self.value(properties[name])
        return logical

    def attribute(self, logical, attribute):
        here = f"{PSEUDO['AWS::Region']}:{PSEUDO['AWS::AccountId']}"
        services = {
            "AWS::DynamoDB::Table": f"dynamodb:{here}:table/",
            "AWS::S3::Bucket": "s3:::",
            "AWS::SQS::Queue": f"sqs:{here}:",
            "AWS::Logs::LogGroup": f"logs:{here}:log-group:",
            "AWS::IAM::Role": f"iam::{PSEUDO['AWS::AccountId']}:role/",
        }
        arn = f"arn:aws:{services.get(self.resources[logical]['Type'], 'other:')}{self.name(logical)}"
        return {"Arn": arn, "StreamArn": f"{arn}/stream/1"}.get(attribute, f"{logical}.{attribute}")

    def of(self, kind):
        return {
            name: self.value(r["Properties"])
            for name, r in self.resources.items()
            if r["Type"] == kind and self.conditions.get(r.get("Condition"), True)
        }

    def roles(self):
        """Statements of each function's role, by function."""
        roles, managed = self.of("AWS::IAM::Role"), self.of("AWS::IAM::ManagedPolicy")
        found = {}
        for name, role in roles.items():
            if name.endswith("ScheduleRole"):
                continue
            documents = [policy["PolicyDocument"] for policy in role["Policies"]]
            documents += [managed[policy]["PolicyDocument"] for policy in role.get("ManagedPolicyArns", [])]
            found[name.removesuffix("Role").lower()] = [s for d in documents for s in d["Statement"]]
        return found


def listed(value):
    return value if isinstance(value, list) else [value]


def covers(statement, action, resource):
    actions = any(fnmatch.fnmatchcase(action.lower(), a.lower()) for a in listed(statement["Action"]))
    return actions and any(fnmatch.fnmatchcase(resource, r) for r in listed(statement["Resource"]))


def may(statements, action, resource):
    """Whether policies allow it; conditions are taken as met by an Allow and by a Deny."""
    said = [s["Effect"] for s in statements if covers(s, action, resource)]
    return "Allow" in said and "Deny" not in said


class Policies(unittest.TestCase):
    def setUp(self):
        self.template = Template(**GATEWAY, **DIRECTORY)
        self.roles = self.template.roles()
        self.log = self.template.attribute("LegalLogTable", "Arn")

    def guard(self):
        return self.template.of("AWS::DynamoDB::Table")["LegalLogTable"]["ResourcePolicy"]["PolicyDocument"]["Statement"]

    def test_no_role_may_change_or_remove_an_entry_of_the_log(self):
        self.assertEqual(len(self.roles), 11)
        for function, statements in self.roles.items():
            for action in WRITES:
                for resource in (self.log, f"{self.log}/index/by-day"):
                    self.assertFalse(may(statements, action, resource), f"{function}: {action}")

    def test_a_role_that_was_given_too_much_is_found_and_the_table_refuses_it_all_the_same(self):
        for given in ("dynamodb:*", "dynamodb:UpdateItem", "dynamodb:Delete*", "*"):
            statements = [{"Effect": "Allow", "Action": given, "Resource": "*"}]
            tried = [action for action in WRITES if may(statements, action, self.log)]
            self.assertNotEqual(tried, [], given)
            # Deletion of the whole table is what deletion protection is for.
            refused = [a for a in tried if not may(statements + self.guard(), a, self.log)]
            self.assertEqual(set(tried) - set(refused) - {"dynamodb:DeleteTable"}, set(), given)

    def test_only_stages_append_to_the_log(self):
        appends = {f for f, s in self.roles.items() if may(s + self.guard(), "dynamodb:PutItem", self.log)}
        self.assertEqual(appends, APPEND)

    def test_who_moves_hints_and_who_deletes_rows(self):
        # A try that is put off moves the hint of its row, as a tick of watch does; everything else is a transaction.
        tries = {"dispatch", "gateway", "watch"}
        for table, moves in {"LettersTable": tries, "MailboxesTable": {"watch"}, "RegistryTable": {"watch"}}.items():
            arn = self.template.attribute(table, "Arn")
            updates = {f for f, s in self.roles.items() if may(s, "dynamodb:UpdateItem", arn)}
            self.assertEqual(updates, moves, table)
            deletes = {f for f, s in self.roles.items() if may(s, "dynamodb:DeleteItem", arn)}
            may_delete = {"MailboxesTable": {"gateway", "watch"}, "RegistryTable": {"gateway"}}.get(table, set())
            self.assertEqual(deletes, may_delete, table)
            self.assertFalse(any(may(s, "dynamodb:BatchWriteItem", arn) for s in self.roles.values()), table)

    def test_only_watch_removes_objects_and_only_of_mailboxes(self):
        data = self.template.attribute("DataBucket", "Arn")
        for key, functions in {"mailboxes/m-1/x.eml": {"watch"}, "letters/x": set(), "spool/x": set()}.items():
            found = {f for f, s in self.roles.items() if may(s, "s3:DeleteObject", f"{data}/{key}")}
            self.assertEqual(found, functions, key)

    def test_nobody_removes_what_is_locked_or_loosens_the_lock(self):
        for bucket in ("DataBucket", "VaultBucket"):
            arn = self.template.attribute(bucket, "Arn")
            for action in ("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"):
                for function, statements in self.roles.items():
                    self.assertFalse(may(statements, action, f"{arn}/vault/log/x"), f"{function}: {action}")

    def test_what_a_function_may_write_into_the_vault(self):
        vault = self.template.attribute("VaultBucket", "Arn")
        for key, functions in {
            "vault/infected/x.eml": {"accept", "receive"},
            "vault/log/2026-03-02/x.json": {"notarize"},
            "vault/alarms/x.json": {"notarize"},
            "vault/seals/0000000001.p7m": {"notarize"},
            "other": set(),
        }.items():
            found = {f for f, s in self.roles.items() if may(s, "s3:PutObject", f"{vault}/{key}")}
            self.assertEqual(found, functions, key)

    def test_signing_is_given_by_the_key_alone_and_to_those_who_sign(self):
        for function, statements in self.roles.items():
            for statement in statements:
                for action in listed(statement["Action"]):
                    self.assertFalse(action.startswith(("kms:", "*")), f"{function}: {action}")
        key = yaml_parse(read("infra/signing-key.yaml"))["Resources"]["Key"]["Properties"]
        self.assertEqual((key["KeySpec"], key["KeyUsage"]), ("RSA_2048", "SIGN_VERIFY"))
        signers = []
        for statement in key["KeyPolicy"]["Statement"]:
            statement = statement.get("Fn::If", [None, statement])[1]
            for action in listed(statement["Action"]):
                self.assertNotIn("*", action)
                if action == "kms:Sign":
                    signers += listed(statement["Principal"]["AWS"])
                    self.assertEqual(statement["Condition"]["StringEquals"]["kms:MessageType"], "DIGEST")
        self.assertEqual([s["Ref"] for s in signers], ["SealRoleArn", "CertifyRoleArn", "NotarizeRoleArn", "KeyOperatorArn"])

    def test_wildcards_stand_only_where_there_is_no_resource_to_name(self):
        for function, statements in self.roles.items():
            for statement in statements:
                for action in listed(statement["Action"]):
                    self.assertNotIn("*", action, function)
                if "*" in listed(statement["Resource"]):
                    free = {"xray:PutTraceSegments", "xray:PutTelemetryRecords", "dynamodb:ListStreams"}
                    self.assertLessEqual(set(listed(statement["Action"])), free, function)

    def test_each_function_takes_from_its_own_queue_only(self):
        for name in self.template.of("AWS::SQS::Queue"):
            arn = self.template.attribute(name, "Arn")
            takes = {f for f, s in self.roles.items() if may(s, "sqs:ReceiveMessage", arn)}
            own = {name.removesuffix("Queue").lower()} if name.endswith("Queue") else set()
            own |= {"gateway"} if name == "DispatchQueue" else set()
            self.assertEqual(takes, own, name)

    def test_functions_that_scan_are_where_clamd_is(self):
        told = {"Clamd": "clamd.internal:3310", "ClamdSubnets": "subnet-1", "ClamdSecurityGroups": "sg-1"}
        for parameters, scanning in (({}, set()), (told, {"AcceptFunction", "ReceiveFunction"})):
            template = Template(**parameters)
            functions = template.of("AWS::Lambda::Function")
            self.assertEqual({name for name, f in functions.items() if "VpcConfig" in f}, scanning)
            said = {f["Environment"]["Variables"]["SIGILLO_CLAMD"] for f in functions.values()}
            self.assertEqual(said, {parameters.get("Clamd", "")})
            able = {f for f, s in template.roles().items() if may(s, "ec2:CreateNetworkInterface", "*")}
            self.assertEqual(able, {name.removesuffix("Function").lower() for name in scanning})

    def test_only_directory_puts_index_and_lists_and_only_where_one_is_fetched(self):
        data = self.template.attribute("DataBucket", "Arn")
        for key in ("index.ldif", "index.ldif.p7m", "anchors.pem", "directory/server-ca.pem", "certificates/main.pem"):
            writes = {f for f, s in self.roles.items() if may(s, "s3:PutObject", f"{data}/settings/{key}")}
            self.assertEqual(writes, {"directory"} if key.startswith("index.ldif") else set(), key)
        lists = f"{data}/settings/crl/{'0' * 64}.crl"
        self.assertEqual({f for f, s in self.roles.items() if may(s, "s3:PutObject", lists)}, {"directory"})
        for template, asked in ((self.template, "true"), (Template(), "false")):
            receive = template.of("AWS::Lambda::Function")["ReceiveFunction"]["Environment"]["Variables"]
            self.assertEqual(receive["SIGILLO_REVOCATION"], asked)
        self.assertNotIn("directory", Template().roles())
        self.assertNotIn("DirectoryFunction", Template().of("AWS::Lambda::Function"))

    def test_mail_by_ses_is_sent_only_where_it_was_chosen(self):
        identity = "arn:aws:ses:eu-south-1:111122223333:identity/pec.example"
        self.assertFalse(any(may(s, "ses:SendEmail", identity) for s in self.roles.values()))
        chosen = Template(SesOrdinary="true", SesIdentity="pec.example").roles()
        self.assertEqual({f for f, s in chosen.items() if may(s, "ses:SendEmail", identity)}, {"dispatch"})

    def test_buckets_are_closed_and_speak_tls_only(self):
        policies = self.template.of("AWS::S3::BucketPolicy")
        for name, bucket in self.template.of("AWS::S3::Bucket").items():
            self.assertEqual(set(bucket["PublicAccessBlockConfiguration"].values()), {True})
            self.assertEqual(bucket["VersioningConfiguration"], {"Status": "Enabled"})
            said = policies[f"{name}Policy"]["PolicyDocument"]["Statement"]
            self.assertIn({"Bool": {"aws:SecureTransport": "false"}}, [s.get("Condition") for s in said])
        lock = self.template.of("AWS::S3::Bucket")["VaultBucket"]["ObjectLockConfiguration"]
        self.assertEqual(lock["Rule"]["DefaultRetention"], {"Mode": "COMPLIANCE", "Days": "945"})


class NamesOfTheCode(unittest.TestCase):
    def setUp(self):
        self.template = Template(CertificateChainKey="settings/c.pem")
        self.functions = self.template.of("AWS::Lambda::Function")

    def test_every_variable_that_a_function_must_have_is_set(self):
        table = [line for line in read("shared/aws/src/config.rs").splitlines() if line.startswith("//! | `SIGILLO")]
        must = set()
        for line in table:
            name, _, absent = [cell.strip() for cell in line.removeprefix("//! |").rstrip("|").split("|")]
            words = re.findall(r"`([^`]+)`", name)
            first = words[0]
            names = [first] + [first.removesuffix("_ACCEPT_URL") + w.removeprefix("...") for w in words[1:]]
            must |= set(names) if absent == "refused" else set()
        self.assertGreater(len(must), 12)
        for name, function in self.functions.items():
            variables = function["Environment"]["Variables"]
            self.assertEqual(must - set(variables), set(), name)

    def test_the_gateway_is_told_what_functions_are_told(self):
        task = yaml_parse(read("infra/gateway.yaml"))["Resources"]["Task"]["Properties"]["ContainerDefinitions"][0]
        said = {variable["Name"]: variable["Value"]["Ref"] for variable in task["Environment"]}
        template = Template(CertificateChainKey="settings/c.pem", **GATEWAY)
        given = template.of("AWS::CloudFormation::Stack")["GatewayStack"]["Parameters"]
        function = template.of("AWS::Lambda::Function")["DispatchFunction"]["Environment"]["Variables"]
        not_its = {"SIGILLO_CONCURRENCY", "SIGILLO_CLAMD"}  # of a batch; it scans nothing
        told = {name: given[parameter] for name, parameter in said.items()}
        self.assertEqual(told, {name: value for name, value in function.items() if name not in not_its})

    def test_either_the_function_or_the_gateway_works_the_queue_of_dispatch(self):
        for parameters, enabled in (({}, True), (GATEWAY, False)):
            mappings = Template(**parameters).of("AWS::Lambda::EventSourceMapping")
            self.assertEqual(mappings["DispatchFunctionQueue"]["Enabled"], enabled)

    def keys(self, **parameters):
        """What functions are told of signing keys: JSON objects, one after another."""
        functions = Template(**parameters).of("AWS::Lambda::Function").values()
        (said,) = {function["Environment"]["Variables"]["SIGILLO_KMS_KEYS"] for function in functions}
        keys, said = [], said.strip()
        while said:
            key, end = json.JSONDecoder().raw_decode(said)
            keys, said = [*keys, key], said[end:].strip()
        return keys

    def test_a_key_of_any_environment_can_be_named(self):
        chain = "settings/c.pem"
        further = {"environment": "Unità 2,Alfa | B", "key": "arn:aws:kms:eu-south-1:111122223333:key/2", "chain": chain}
        pattern = yaml_parse(read("template.yaml"))["Parameters"]["Environment"]["AllowedPattern"]
        for environment in ("Sigillo", "Unità 2,Alfa | B", 'Alfa "PEC" \\ srl'):
            said = json.dumps(environment, ensure_ascii=False)[1:-1]
            self.assertIsNotNone(re.fullmatch(pattern, said), said)
            keys = self.keys(CertificateChainKey=chain, Environment=said, FurtherSigningKeys=json.dumps(further))
            own = {"environment": environment, "key": "SigningKey.Outputs.KeyArn", "chain": chain}
            self.assertEqual(keys, [own, further])
        for environment in ("", 'a"b', "a\\", "a\nb"):
            self.assertIsNone(re.fullmatch(pattern, environment), environment)

    def test_without_a_certificate_there_is_no_key_to_sign_with(self):
        self.assertEqual(self.keys(), [])

    def test_tables_have_the_attributes_and_indexes_that_the_code_reads(self):
        schema = read("shared/aws/src/facts/schema.rs")
        constant = dict(re.findall(r'pub const (\w+): &str = "([^"]+)";', schema))
        rows = {"DUE_INDEX": ("DUE_SHARD", "DUE"), "LOOKUP_INDEX": ("LOOKUP_PK", "LOOKUP_SK")}
        log = {
            "BY_SENDER_INDEX": ("SENDER_MONTH", "AT"),
            "BY_CLIENT_INDEX": ("CLIENT_SHA256", "AT"),
            "BY_DAY_INDEX": ("DAY", "AT"),
        }
        tables = self.template.of("AWS::DynamoDB::Table")
        self.assertEqual(len(tables), 4)
        for name, table in tables.items():
            wanted = log if name == "LegalLogTable" else rows
            wanted = {constant[i]: [constant[pk], constant[sk]] for i, (pk, sk) in wanted.items()}
            found = {i["IndexName"]: [k["AttributeName"] for k in i["KeySchema"]] for i in table["GlobalSecondaryIndexes"]}
            self.assertEqual(found, wanted, name)
            self.assertEqual([k["AttributeName"] for k in table["KeySchema"]], [constant["PK"], constant["SK"]])

    def test_every_queue_of_the_stages_has_dead_letters(self):
        names = re.search(r"pub const ALL: \[Self; \d\] =\s*\[([^\]]+)\]", read("shared/stages/src/jobs.rs"))[1]
        names = re.findall(r"Self::(\w+)", names)
        queues = self.template.of("AWS::SQS::Queue")
        for name in [*names, "Ingest"]:
            dead = queues[f"{name}Queue"]["RedrivePolicy"]["deadLetterTargetArn"]
            self.assertEqual(dead, self.template.attribute(f"{name}DeadLetters", "Arn"))
            self.assertEqual(queues[f"{name}Queue"].get("FifoQueue", False), name == "Deliver")

    def test_mappings_report_what_failed(self):
        mappings = self.template.of("AWS::Lambda::EventSourceMapping")
        self.assertEqual(len(mappings), 9)
        for name, mapping in mappings.items():
            self.assertEqual(mapping["FunctionResponseTypes"], ["ReportBatchItemFailures"], name)

    def test_lines_that_alarms_wait_for_are_written(self):
        alarms = yaml_parse(read("infra/log-alarms.yaml"))["Resources"]
        for name, where in {"AlteredFilter": "shared/aws/src/notarize.rs", "UnpaidFilter": "shared/stages/src/watch.rs"}.items():
            self.assertIn(alarms[name]["Properties"]["FilterPattern"], read(where))
        # Lines in Lambda's JSON: what a line says is below `fields`.
        for name in ("NoticesFilter", "NoticesByKindFilter"):
            pattern = alarms[name]["Properties"]["FilterPattern"]
            words = re.fullmatch(r'\{ \$\.fields\.message = ("[^"]+") \}', pattern)[1]
            self.assertIn(f"tracing::info!(kind = kind.name(), {words})", read("shared/stages/src/issue.rs"))
        logs = self.template.of("AWS::CloudFormation::Stack")["LogAlarms"]["Parameters"]["CertifyLogs"]
        self.assertEqual(logs, "/aws/lambda/sigillo-certify")  # notices are issued by certify, envelopes by seal

    def test_too_many_notices_are_an_alarm(self):
        alarms = yaml_parse(read("infra/log-alarms.yaml"))["Resources"]
        (counted,) = alarms["NoticesFilter"]["Properties"]["MetricTransformations"]
        alarm = alarms["NoticesAlarm"]["Properties"]
        for same in ("Namespace", "Name"):
            said = alarm["MetricName" if same == "Name" else same]
            self.assertEqual(counted[f"Metric{same}"], said)
        self.assertEqual((alarm["Statistic"], alarm["Period"]), ("Sum", 3600))
        self.assertEqual(alarm["Threshold"], {"Ref": "NoticesPerHourMax"})
        stacks = Template(NoticesPerHourMax="7").of("AWS::CloudFormation::Stack")
        self.assertEqual(stacks["LogAlarms"]["Parameters"]["NoticesPerHourMax"], "7")

    def test_functions_are_those_of_their_folder(self):
        sources = yaml_parse(read("template.yaml"))["Resources"].values()
        named = {r["Properties"]["CodeUri"] for r in sources if r["Type"] == "AWS::Serverless::Function"}
        there = {str(p.parent.relative_to(ROOT)) for p in ROOT.glob("functions/*/Cargo.toml")}
        self.assertEqual(named, there - {"functions/all"})  # every function in one, for tests
        for folder in named:
            (binary,) = tomllib.loads(read(f"{folder}/Cargo.toml"))["bin"]
            self.assertEqual(binary["name"], pathlib.PurePath(folder).name)


class Stacks(unittest.TestCase):
    def test_stacks_get_the_parameters_that_they_ask_for(self):
        stacks = Template(IncomingDoor="true", SubmissionDoor="true", **GATEWAY).of("AWS::CloudFormation::Stack")
        self.assertEqual(len(stacks), 14)
        for name, stack in stacks.items():
            asked = yaml_parse(read(stack["TemplateURL"]))["Parameters"]
            must = {p for p, said in asked.items() if "Default" not in said}
            given = set(stack["Parameters"])
            self.assertLessEqual(given, set(asked), name)
            self.assertLessEqual(must, given, name)

    def test_doors_are_closed_by_default(self):
        stacks = Template().of("AWS::CloudFormation::Stack")
        self.assertEqual([name for name in stacks if "Door" in name or "Gateway" in name], [])

    def test_every_door_of_the_gateway_is_listened_to_at_its_port(self):
        resources = yaml_parse(read("infra/gateway.yaml"))["Resources"]
        kinds = re.findall(r'Self::(?:implicit|starttls)\("(\w+)", "\w+", (\d+)', read("server/src/doors.rs"))
        self.assertEqual(len(kinds), 6)
        command = resources["Task"]["Properties"]["ContainerDefinitions"][0]["Command"]
        inside = dict(re.fullmatch(r"--door=(\w+)=0\.0\.0\.0:(\d+)", w).groups() for w in command if str(w).startswith("--door="))
        for name, port in kinds:
            listener = resources[f"{name.capitalize()}Listener"]["Properties"]
            self.assertEqual(listener["Port"], int(port), name)
            targets = resources[listener["DefaultActions"][0]["TargetGroupArn"]["Ref"]]["Properties"]
            self.assertEqual(targets["Port"], int(inside[name]), name)
            (door,) = [d for d in resources["Service"]["Properties"]["LoadBalancers"] if d["ContainerPort"] == targets["Port"]]
            self.assertEqual(door["TargetGroupArn"], listener["DefaultActions"][0]["TargetGroupArn"])

    def test_samconfig_sets_parameters_that_there_are(self):
        parameters = yaml_parse(read("template.yaml"))["Parameters"]
        config = tomllib.loads(read("samconfig.toml"))
        for name in ("local", "staging", "production"):
            text = config[name]["deploy"]["parameters"]["parameter_overrides"]
            said = dict(word.split("=", 1) for word in shlex.split(text))
            self.assertLessEqual(set(said), set(parameters), name)
            self.assertLessEqual({p for p, v in parameters.items() if "Default" not in v}, set(said), name)
        # The law asks for 30 months.
        self.assertGreaterEqual(int(said["VaultRetentionDays"]), 30 * 31)
        self.assertEqual(said["DeletionProtection"], "true")


if __name__ == "__main__":
    unittest.main()
