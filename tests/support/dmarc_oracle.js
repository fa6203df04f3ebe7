// What mailauth says of DMARC cases: JSON in (a list of {zone, from, spf, dkim}), JSON out (a list of {result, policy,
// policyDomain, domain, spf, dkim}). `zone` maps "name TYPE" to a list of texts, or to "servfail".
'use strict';

const path = require('node:path');
const root = process.argv[2];
const verifyDmarc = require(path.join(root, 'mailauth', 'lib', 'dmarc', 'verify.js'));

const failure = code => Object.assign(new Error(code), { code });

const resolverOf = zone => async (name, type) => {
    const found = zone[`${name.toLowerCase()} ${type}`];
    if (found === 'servfail') {
        throw failure('ESERVFAIL');
    }
    if (found) {
        return type === 'TXT' ? found.map(text => [text]) : found;
    }
    const known = Object.keys(zone).some(key => {
        const owner = key.split(' ')[0];
        return owner === name || owner.endsWith(`.${name}`);
    });
    throw failure(known ? 'ENODATA' : 'ENOTFOUND');
};

const judge = async one => {
    const found = await verifyDmarc({
        headerFrom: [one.from],
        spfDomains: one.spf.map(domain => ({ domain })),
        dkimDomains: one.dkim.map(domain => ({ domain })),
        resolver: resolverOf(one.zone)
    });
    return {
        result: found && found.status.result,
        policy: (found && found.policy) || '',
        policyDomain: (found && found.policyDomain) || '',
        domain: (found && found.domain) || ''
    };
};

let text = '';
process.stdin.on('data', chunk => (text += chunk));
process.stdin.on('end', async () => {
    const answers = [];
    for (const one of JSON.parse(text)) {
        answers.push(await judge(one));
    }
    process.stdout.write(JSON.stringify(answers));
});
