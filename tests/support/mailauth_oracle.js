// What mailauth says and makes of messages: JSON in (a list of {do, message, zone, ...}, messages in base64), JSON out.
// do: "verify" gives {dkim: [{result, comment}], arc: {result, comment}}; "sign" and "seal" give the fields they add.
'use strict';

const path = require('node:path');
const root = process.argv[2];
const load = (...parts) => require(path.join(root, 'mailauth', 'lib', ...parts));
const { dkimVerify } = load('dkim', 'verify.js');
const { dkimSign } = load('dkim', 'sign.js');
const { arc, createSeal } = load('arc', 'index.js');

const resolverOf = zone => async (name, type) => {
    const found = type === 'TXT' && zone[name.toLowerCase()];
    if (!found) {
        throw Object.assign(new Error('ENOTFOUND'), { code: 'ENOTFOUND' });
    }
    return [[found]];
};

const verify = async (message, { zone, now }) => {
    const options = { resolver: resolverOf(zone), curTime: new Date(now * 1000), sender: '' };
    const found = await dkimVerify(message, options);
    const chain = await arc(found.arc, options);
    const shown = status => ({ result: status.result, comment: status.comment || '' });
    return { dkim: found.results.map(one => shown(one.status)), arc: shown(chain.status) };
};

const sign = async (message, { options }) => (await dkimSign(message, options)).signatures;

const seal = async (message, { options }) => {
    const made = await createSeal(message, { seal: options });
    if (made.errors.length) {
        throw made.errors[0].err;
    }
    return made.headers.join('\r\n') + '\r\n';
};

let text = '';
process.stdin.on('data', chunk => (text += chunk));
process.stdin.on('end', async () => {
    const answers = [];
    for (const one of JSON.parse(text)) {
        const work = { verify, sign, seal }[one.do];
        answers.push(await work(Buffer.from(one.message, 'base64'), one));
    }
    process.stdout.write(JSON.stringify(answers));
});
