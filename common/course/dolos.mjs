// node dolos.mjs WHERE info.csv: compares the files of a dataset by Dolos, and prints as JSON the pairs that have something
// in common, the most alike first. WHERE is a place from which Node finds @dodona/dolos-lib.
// Exit codes: 0 compared; 1 Dolos failed; 69 there is no Dolos at WHERE.
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [where, dataset] = process.argv.slice(2);

let library;
try {
    library = createRequire(path.resolve(where, "from-here.js")).resolve("@dodona/dolos-lib");
} catch (error) {
    console.error(error.message.split("\n")[0]);
    process.exit(69);
}
const { Dolos } = await import(pathToFileURL(library));

const lines = selection => [selection.startRow + 1, selection.endRow + 1];
const described = pair => {
    const longest = pair.buildFragments().sort((a, b) => b.pairs.length - a.pairs.length)[0];
    return {
        left: path.basename(pair.leftFile.path),
        right: path.basename(pair.rightFile.path),
        similarity: pair.similarity,
        overlap: pair.overlap,
        longest: pair.longest,
        left_lines: longest ? lines(longest.leftSelection) : [],
        right_lines: longest ? lines(longest.rightSelection) : [],
    };
};

const report = await new Dolos({ language: "cpp" }).analyzePaths([dataset]);
for (const warning of report.warnings) console.error(warning);
const pairs = report.allPairs().filter(pair => pair.overlap > 0);
pairs.sort((a, b) => b.similarity - a.similarity || b.longest - a.longest);
console.log(JSON.stringify(pairs.map(described), null, 1));
