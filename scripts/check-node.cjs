// Says in one line when Node is too old. Plain old JavaScript, so that any Node can say it.
var wanted = [20, 19];
var found = process.versions.node.split(".").map(Number);
if (found[0] < wanted[0] || (found[0] === wanted[0] && found[1] < wanted[1])) {
  console.error(
    "covote needs Node " + wanted.join(".") + " or newer, this is " + process.versions.node +
      "; get one from https://nodejs.org",
  );
  process.exit(2);
}
